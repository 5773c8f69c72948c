// POSIX: files that appear complete or not at all. Names are looked up in the folder's own descriptor, and the file is
// created anew, so that no link leads elsewhere; a rename replaces a link of that name, not what it points to. Whoever
// writes a file has it locked for as long as it has its partial name: one that is not locked is nobody's any more.
#ifndef _WIN32
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/file_name.h"
#include "base/format.h"
#include "base/os_posix_errors.h"
#include "base/output_file.h"

namespace fastserve::os {
namespace {

class Descriptor {
 public:
  Descriptor() = default;
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const { return number_; }
  void reset(int number) {
    if (number_ >= 0) ::close(number_);
    number_ = number;
  }

 private:
  int number_ = -1;
};

template <typename Call>
auto retried(Call&& call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

class PosixOutputFile final : public OutputFile {
 public:
  PosixOutputFile(std::string_view folder, std::string_view name)
      : folder_path_(folder), name_(name), partial_(partial_file_name(name)) {}
  ~PosixOutputFile() override {
    if (is_partial_) ::unlinkat(folder_.get(), partial_.c_str(), 0);
  }
  PosixOutputFile(const PosixOutputFile&) = delete;
  PosixOutputFile& operator=(const PosixOutputFile&) = delete;

  Status create() {
    folder_.reset(retried([&] { return ::open(folder_path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
    if (folder_.get() < 0) return failure("opening the folder");
    constexpr int kAttemptsMax = 64;  // others may create and remove files of that name all the time
    for (int i = 0; i < kAttemptsMax; ++i) {
      file_.reset(open_partial(O_CREAT | O_EXCL));
      if (file_.get() < 0 && errno != EEXIST) return failure("creating");
      if (file_.get() < 0) {
        FSV_TRY(remove_abandoned());
        continue;
      }
      // Between the two calls another may have taken it for abandoned. Where there are no locks, nobody can.
      const bool is_locked = lock(file_.get()) == 0 || errno != EWOULDBLOCK;
      is_partial_ = is_locked && has_partial_name(file_.get());
      if (is_partial_) return {};
    }
    return is_under_way();
  }

  Status begin(uint64_t) override { return {}; }
  Status write(const void* data, size_t size_bytes) override {
    const auto* bytes = static_cast<const uint8_t*>(data);
    while (size_bytes != 0) {
      const size_t wanted = std::min(size_bytes, size_t{1} << 30);
      const ssize_t count =
          retried([&] { return ::pwrite(file_.get(), bytes, wanted, static_cast<off_t>(written_bytes_)); });
      if (count == 0) errno = ENOSPC;
      if (count <= 0) return failure("writing");
      bytes += count;
      written_bytes_ += static_cast<uint64_t>(count);
      size_bytes -= static_cast<size_t>(count);
    }
    return {};
  }

  Status commit() override {
    if (retried([&] { return ::fsync(file_.get()); }) != 0) return failure("writing");
    if (::renameat(folder_.get(), partial_.c_str(), folder_.get(), name_.c_str()) != 0) return failure("renaming");
    is_partial_ = false;
    file_.reset(-1);
    (void)::fsync(folder_.get());  // the file is there, old or new, even where a file system knows no such thing
    return {};
  }

 private:
  int open_partial(int flags) const {
    constexpr int kFlags = O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY;
    return retried([&] { return ::openat(folder_.get(), partial_.c_str(), kFlags | flags, 0666); });
  }
  static int lock(int file) {
    return retried([&] { return ::flock(file, LOCK_EX | LOCK_NB); });
  }
  bool has_partial_name(int file) const {
    struct stat own, named;
    return ::fstat(file, &own) == 0 && ::fstatat(folder_.get(), partial_.c_str(), &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           own.st_dev == named.st_dev && own.st_ino == named.st_ino;
  }
  // The partial file of a process that is gone. A link of that name goes too, not what it points to.
  Status remove_abandoned() const {
    Descriptor found;
    found.reset(open_partial(0));
    if (found.get() < 0) {
      if (errno == ENOENT) return {};
      if (errno != ELOOP && errno != EMLINK) return failure("removing what is left of an earlier");
    } else if (lock(found.get()) != 0) {
      return errno == EWOULDBLOCK ? is_under_way() : failure("locking what is left of an earlier");
    } else if (!has_partial_name(found.get())) {
      return {};  // it is complete, or gone
    }
    if (::unlinkat(folder_.get(), partial_.c_str(), 0) == 0 || errno == ENOENT) return {};
    return failure("removing what is left of an earlier");
  }
  Status is_under_way() const {
    return Status(StatusCode::kWrongState,
                  format("\"", folder_path_, "/", name_, "\" is being written already: one writer at a time"));
  }
  Status failure(std::string_view what) const {
    const int number = errno;
    const StatusCode code = number == ENOMEM                        ? StatusCode::kOutOfMemory
                            : number == ENOENT || number == ENOTDIR ? StatusCode::kNotFound
                                                                    : StatusCode::kIo;
    return Status(code, format(what, " \"", folder_path_, "/", name_, "\": ", error_text(number)));
  }

  const std::string folder_path_, name_, partial_;
  Descriptor folder_, file_;
  uint64_t written_bytes_ = 0;
  bool is_partial_ = false;  // the file is there under its other name
};

}  // namespace

Result<std::unique_ptr<OutputFile>> create_output_file(std::string_view folder, std::string_view name) {
  auto file = std::make_unique<PosixOutputFile>(folder, name);
  FSV_TRY(file->create());
  return std::unique_ptr<OutputFile>(std::move(file));
}

}  // namespace fastserve::os
#endif  // !_WIN32
