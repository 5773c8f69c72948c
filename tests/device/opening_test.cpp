// How a host says its device is to be used: in its own context and stream, with cuBLASLt or without.
#include <algorithm>
#include <string>
#include <vector>

#include "device/fake.h"

namespace fastserve::test {
namespace {

class DeviceOpenings : public OnFakeDevice {
 protected:
  static const TemporaryFile& model_file() {
    static const TemporaryFile file{TinyShape{}};
    return file;
  }
  static fsv_status create(const EditEngine& edit, std::string& message) {
    fsv_engine_config config = engine_config(on_device(edit));
    fsv_engine* engine = nullptr;
    fsv_error error{};
    const fsv_status status = fsv_engine_create(&config, &engine, &error);
    message.assign(error.message, error.message_size);
    if (engine != nullptr) {
      EXPECT_EQ(fsv_engine_release(engine, nullptr), FSV_OK);
    }
    return status;
  }
};

int given_context = 0, given_stream = 0;  // something to point to

TEST_F(DeviceOpenings, StepsAreComputedInTheHostsContextAndStream) {
  Host plain(model_file().path(), on_device());
  EXPECT_EQ(fake_device().context_given, nullptr);
  const int64_t before = fake_device().work_in_hosts_stream;
  const Reply expected = plain.generate_alone(random_prompt(1, 20), 8);
  EXPECT_EQ(fake_device().work_in_hosts_stream, before);
  Host own(model_file().path(), on_device([](fsv_engine_config& config) {
             config.cuda_context = &given_context;
             config.cuda_stream = &given_stream;
           }));
  EXPECT_EQ(fake_device().context_given, &given_context);
  EXPECT_EQ(fake_device().stream_given, &given_stream);
  expect_same(own.generate_alone(random_prompt(1, 20), 8), expected, "in the host's stream");
  EXPECT_GT(fake_device().work_in_hosts_stream - before, 8 * 4);  // embedding, layers, head, copies
}

TEST_F(DeviceOpenings, AContextThatCannotBeUsedIsRefused) {
  std::string message;
  EXPECT_EQ(create([](fsv_engine_config& config) { config.cuda_context = kForeignContext; }, message),
            FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_EQ(message, "the host's context is one of another device");
  auto threaded = [](fsv_engine_config& config) {
    config.mode = FSV_MODE_THREADED;
    config.cuda_stream = &given_stream;
  };
  EXPECT_EQ(create(threaded, message), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_NE(message.find("config.cuda_stream wants FSV_MODE_PUMPED"), std::string::npos) << message;
  EXPECT_EQ(create([](fsv_engine_config& config) { config.cublas = 2; }, message), FSV_ERROR_INVALID_ARGUMENT);
  auto cut = [](fsv_engine_config& config) {
    config.cublas_folder = "/opt\0/lib";
    config.cublas_folder_size = 9;
  };
  EXPECT_EQ(create(cut, message), FSV_ERROR_INVALID_ARGUMENT);
  EXPECT_NE(message.find("config.cublas_folder"), std::string::npos) << message;
}

TEST_F(DeviceOpenings, ProductsMayGoToCublasWhereItIsFoundAndWanted) {
  struct Case {
    bool is_found;
    uint32_t cublas;
    uint32_t kernels;
    bool goes;
  };
  for (const Case& c :
       {Case{true, FSV_CUBLAS_AUTO, FSV_KERNELS_FAST, true}, Case{false, FSV_CUBLAS_AUTO, FSV_KERNELS_FAST, false},
        Case{true, FSV_CUBLAS_OFF, FSV_KERNELS_FAST, false}}) {
    fake_device().has_blas = c.is_found;
    const int64_t before = fake_device().blas_products;
    Host host(model_file().path(), on_device([&](fsv_engine_config& config) {
                config.cublas = c.cublas;
                config.cublas_folder = "/opt/a folder";
                config.cublas_folder_size = SIZE_MAX;
                config.kernels = c.kernels;
              }));
    EXPECT_STREQ(fake_device().blas_folder, "/opt/a folder");
    EXPECT_EQ(fake_device().uses_blas, c.cublas == FSV_CUBLAS_AUTO);
    EXPECT_EQ(host.generate_alone(random_prompt(1, 20), 4).status, FSV_OK);
    EXPECT_EQ(fake_device().blas_products > before, c.goes);
  }
}

struct Line {
  int32_t level;
  std::string text;
};

TEST_F(DeviceOpenings, NotesOfTheLibraryAreLogged) {
  std::vector<Line> lines;
  fake_device().has_note = true;
  Host host(model_file().path(), on_device([&](fsv_engine_config& config) {
              config.log_user = &lines;
              config.log_level = FSV_LOG_DEBUG;
              config.log = [](void* user, int32_t level, const char* message, size_t size) {
                static_cast<std::vector<Line>*>(user)->push_back({level, {message, size}});
              };
            }));
  auto count = [&](int32_t level) {
    return std::count_if(lines.begin(), lines.end(), [&](const Line& line) {
      return line.level == level && line.text == "a note of the fake device";
    });
  };
  EXPECT_EQ(count(FSV_LOG_INFO), 1) << "what it was opened with";
  fake_device().has_note = true;
  EXPECT_EQ(host.generate_alone(random_prompt(1, 20), 4).status, FSV_OK);
  EXPECT_EQ(count(FSV_LOG_WARNING), 1) << "what happened in a step";
}

}  // namespace
}  // namespace fastserve::test
