// Files that the library creates: complete or not at all; implemented in os_posix_output.cpp and os_windows_output.cpp.
#pragma once
#include <memory>
#include <string_view>

#include "base/byte_sink.h"
#include "base/status.h"

namespace fastserve::os {

// A new file on its way into a folder: written as "<name>.part" there, durable and in its place (instead of one that
// may have had the name) with commit(), and gone without a trace if it is destroyed before. What a process that died
// left of it goes with the next of that name. One thread at a time.
class OutputFile : public ByteSink {
 public:
  // Nothing may be written afterwards. A failure leaves whatever had the name before.
  virtual Status commit() = 0;
};
// `name` is as check_file_name() wants it. kWrongState while another of that name is on its way, in any process.
Result<std::unique_ptr<OutputFile>> create_output_file(std::string_view folder, std::string_view name);

}  // namespace fastserve::os
