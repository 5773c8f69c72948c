// Device libraries: found beside our own or not at all, refused where they do not fit, and CUDA's own where it is
// built.
#include "backend/device_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <numeric>

namespace fastserve {
namespace {

Result<std::shared_ptr<DeviceLibrary>> open_fake(const std::string& kind) {
  return DeviceLibrary::open_cuda(std::string(FASTSERVE_FAKE_DEVICES) + "/" + kind);
}

TEST(DeviceLibrary, AbsenceIsNoError) {
  auto opened = open_fake("nothing_here");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  EXPECT_EQ(opened.take(), nullptr);
}

TEST(DeviceLibrary, DevicesAreCountedAndDescribed) {
  auto opened = open_fake("good");
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const std::shared_ptr<DeviceLibrary> library = opened.take();
  auto count = library->count_devices();
  ASSERT_TRUE(count.ok());
  EXPECT_EQ(count.take(), 2);
  auto facts = library->describe_device(0);
  ASSERT_TRUE(facts.ok());
  const kernels::DeviceFacts described = facts.take();
  EXPECT_STREQ(described.name, "Fake device");
  EXPECT_EQ(described.memory_bytes, uint64_t{1} << 20);
}

TEST(DeviceLibrary, FailureOfADeviceKeepsItsWords) {
  auto opened = open_fake("good");
  ASSERT_TRUE(opened.ok());
  auto facts = opened.take()->describe_device(1);
  EXPECT_EQ(facts.status().code(), StatusCode::kDevice);
  EXPECT_STREQ(facts.status().message(), "device 1 has fallen off the bus");
}

TEST(DeviceLibrary, AnotherVersionIsRefused) {
  auto opened = open_fake("other_version");
  EXPECT_EQ(opened.status().code(), StatusCode::kUnsupported);
  const std::string wanted = "version " + std::to_string(kernels::kDeviceApiVersion);
  EXPECT_THAT(opened.status().message(), ::testing::HasSubstr(wanted)) << opened.status().message();
}

TEST(DeviceLibrary, LibraryWithoutEntryIsRefused) {
  auto opened = open_fake("no_entry");
  EXPECT_EQ(opened.status().code(), StatusCode::kUnsupported);
  EXPECT_THAT(opened.status().message(), ::testing::HasSubstr("fsv_cuda_device_api")) << opened.status().message();
}

TEST(DeviceLibrary, FileThatIsNoLibraryIsRefused) {
  const std::filesystem::path folder = std::filesystem::path(FASTSERVE_FAKE_DEVICES) / "no_library";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "libfastserve_cuda.so") << "words";
  auto opened = DeviceLibrary::open_cuda(folder.string());
  EXPECT_EQ(opened.status().code(), StatusCode::kIo);
  EXPECT_THAT(opened.status().message(), ::testing::HasSubstr("libfastserve_cuda.so")) << opened.status().message();
}

#if defined(FASTSERVE_HAVE_CUDA)

TEST(CudaLibrary, LoadsAndCountsWithoutADriverToo) {
  auto opened = DeviceLibrary::open_cuda(FASTSERVE_CUDA_FOLDER);
  ASSERT_TRUE(opened.ok()) << opened.status().message();
  const std::shared_ptr<DeviceLibrary> library = opened.take();
  ASSERT_NE(library, nullptr);
  auto count = library->count_devices();
  ASSERT_TRUE(count.ok()) << count.status().message();
  const int32_t devices = count.take();
  EXPECT_GE(devices, 0);
  EXPECT_FALSE(library->describe_device(devices).ok());
}

// One device in use: what the engine will stand on.
class CudaDeviceGpu : public ::testing::Test {
 protected:
  void SetUp() override {
    library_ = DeviceLibrary::open_cuda(FASTSERVE_CUDA_FOLDER).take();
    auto count = library_->count_devices();
    if (!count.ok() || count.take() == 0) GTEST_SKIP() << "this machine has no CUDA device";
    const kernels::DeviceOpening opening = {0, 1, nullptr, nullptr, nullptr};
    ASSERT_EQ(api().open_device(&opening, &device_, &message_), kernels::DeviceResult::kOk) << message_.text;
    ASSERT_EQ(api().open_queue(device_, kernels::DevicePriority::kNormal, &queue_, &message_),
              kernels::DeviceResult::kOk)
        << message_.text;
  }
  void TearDown() override {
    if (device_ == nullptr) return;
    api().close_queue(queue_);
    api().close_device(device_);
  }
  const kernels::DeviceApi& api() const { return library_->api(); }

  std::shared_ptr<DeviceLibrary> library_;
  kernels::DeviceContext* device_ = nullptr;
  kernels::DeviceQueue* queue_ = nullptr;
  kernels::DeviceMessage message_{};
};

TEST_F(CudaDeviceGpu, BytesComeBack) {
  constexpr size_t kBytes = size_t{1} << 20;
  std::vector<uint8_t> sent(kBytes), received(kBytes);
  std::iota(sent.begin(), sent.end(), uint8_t{7});
  void *first = nullptr, *second = nullptr;
  ASSERT_EQ(api().allocate(device_, kBytes, &first, &message_), kernels::DeviceResult::kOk) << message_.text;
  ASSERT_EQ(api().allocate(device_, kBytes, &second, &message_), kernels::DeviceResult::kOk) << message_.text;
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 256, 0U);
  ASSERT_EQ(api().copy_to_device(queue_, first, sent.data(), kBytes, &message_), kernels::DeviceResult::kOk);
  ASSERT_EQ(api().copy_on_device(queue_, second, first, kBytes, &message_), kernels::DeviceResult::kOk);
  ASSERT_EQ(api().fill(queue_, second, 9, 16, &message_), kernels::DeviceResult::kOk);
  ASSERT_EQ(api().copy_to_host(queue_, received.data(), second, kBytes, &message_), kernels::DeviceResult::kOk);
  ASSERT_EQ(api().wait(queue_, &message_), kernels::DeviceResult::kOk) << message_.text;
  std::fill_n(sent.begin(), 16, uint8_t{9});
  EXPECT_EQ(sent, received);
  api().release(device_, first);
  api().release(device_, second);
}

TEST_F(CudaDeviceGpu, TooMuchIsOutOfMemoryAndTheDeviceGoesOn) {
  void* address = nullptr;
  EXPECT_EQ(api().allocate(device_, size_t{1} << 50, &address, &message_), kernels::DeviceResult::kOutOfMemory);
  ASSERT_EQ(api().allocate(device_, 4096, &address, &message_), kernels::DeviceResult::kOk) << message_.text;
  api().release(device_, address);
}

#endif

}  // namespace
}  // namespace fastserve
