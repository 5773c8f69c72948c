// The fake device of this program: beside it lies a libfastserve_cuda.so whose device is the processor. What a test
// asks of it ends with the test; nothing of it may be left then.
#pragma once
#include <dlfcn.h>
#include <gtest/gtest.h>

#include "base/os.h"
#include "support/fake_device/control.h"
#include "support/host.h"
#include "support/tiny_model.h"

namespace fastserve::test {

inline FakeDeviceControl& fake_device() {
  static FakeDeviceControl* const control = [] {
    const std::string path = os::own_folder() + "/libfastserve_cuda.so";
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    EXPECT_NE(library, nullptr) << dlerror();
    return reinterpret_cast<FakeControlEntry>(dlsym(library, kFakeControlName))();
  }();
  return *control;
}

class OnFakeDevice : public ::testing::Test {
 protected:
  void SetUp() override { reset(); }
  void TearDown() override {
    expect_nothing_left("the end");
    reset();
  }
  static void reset() {
    FakeDeviceControl& fake = fake_device();
    fake.fail_at = 0;
    fake.calls = 0;
    fake.is_lost = false;
    fake.has_pages = false;
    fake.memory_bytes = 0;
    fake.refuses_graphs = false;
    fake.lacks_sampling = false;
    fake.device_count = 1;
    fake.has_blas = false;
    fake.has_note = false;
  }
  static void expect_nothing_left(const std::string& when) {
    const FakeDeviceControl& fake = fake_device();
    EXPECT_EQ(fake.devices_open, 0) << when;
    EXPECT_EQ(fake.queues_open, 0) << when;
    EXPECT_EQ(fake.blocks_live, 0) << when;
    EXPECT_EQ(fake.host_blocks_live, 0) << when;
    EXPECT_EQ(fake.pages_live, 0) << when;
    EXPECT_EQ(fake.ranges_live, 0) << when;
    EXPECT_EQ(fake.graphs_live, 0) << when;
  }
};

// An engine of the fake device, otherwise as `edit` says.
inline EditEngine on_device(const EditEngine& edit = nullptr) {
  return [edit](fsv_engine_config& config) {
    config.device_kind = FSV_DEVICE_CUDA;
    if (edit) edit(config);
  };
}

}  // namespace fastserve::test
