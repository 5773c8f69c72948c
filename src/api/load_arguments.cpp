// fsv_load_config as a LoadRequest.
#include "api/arguments.h"
#include "api/host_hooks.h"
#include "api/shim.h"

namespace fastserve::api {
namespace {

Result<LoadOptions> load_options(const fsv_load_config& config) {
  constexpr DType kTypes[] = {DType::kF32,  DType::kF32,  DType::kF16,  DType::kBF16, DType::kQ8_0,
                              DType::kQ4_0, DType::kQ4_1, DType::kQ5_0, DType::kQ5_1};  // by FSV_DTYPE_*
  LoadOptions options;
  constexpr uint32_t kFlags =
      FSV_LOAD_TEXT_ONLY | FSV_LOAD_WARM_UP | FSV_LOAD_COPY_BUFFER | FSV_LOAD_PINNED | FSV_LOAD_KEEP_SOURCE;
  if ((config.flags & ~kFlags) != 0) return invalid(format("unknown flags ", config.flags));
  options.text_only = (config.flags & FSV_LOAD_TEXT_ONLY) != 0;
  if (config.load_dtype >= std::size(kTypes)) {
    return Status(StatusCode::kUnsupported, format("load_dtype ", config.load_dtype,
                                                   " is no type that weights can be given while they are read"));
  }
  if (config.load_dtype != FSV_DTYPE_STORED) options.dtype = kTypes[config.load_dtype];
  return options;
}

std::shared_ptr<ModelFiles> buffer_files(const fsv_load_config& config) {
  if ((config.flags & FSV_LOAD_COPY_BUFFER) != 0) {
    const auto* bytes = static_cast<const uint8_t*>(config.buffer);
    auto copy = std::make_shared<std::vector<uint8_t>>(bytes, bytes + config.buffer_size);
    const uint8_t* data = copy->data();
    return memory_files(data, config.buffer_size, [copy = std::move(copy)] {});
  }
  if (config.buffer_release == nullptr) return memory_files(config.buffer, config.buffer_size, nullptr);
  auto release = [function = config.buffer_release, context = config.buffer_context] { function(context); };
  return memory_files(config.buffer, config.buffer_size, release);
}

}  // namespace

Result<LoadRequest> load_request(const fsv_load_config* config) {
  fsv_load_config defaults;
  fsv_load_config_init(&defaults, sizeof(defaults));
  FSV_ASSIGN(const fsv_load_config checked, config_argument(config, defaults, "config"));
  LoadRequest request;
  FSV_ASSIGN(request.options, load_options(checked));
  request.warm_up = (checked.flags & FSV_LOAD_WARM_UP) != 0;
  request.is_pinned = (checked.flags & FSV_LOAD_PINNED) != 0;
  request.keeps_source = (checked.flags & FSV_LOAD_KEEP_SOURCE) != 0;
  request.priority = checked.priority;
  request.user_data = checked.user_data;
  if (checked.buffer == nullptr) {
    if (checked.buffer_size != 0 || (checked.flags & FSV_LOAD_COPY_BUFFER) != 0) return invalid("buffer is NULL");
    FSV_ASSIGN(const std::string_view path, path_argument(checked.path, checked.path_size));
    request.path = path;
    if (checked.io != nullptr) {
      FSV_ASSIGN(request.files, host_files(checked.io, "config.io"));
    }
    return request;
  }
  if (checked.io != nullptr || checked.path != nullptr) return invalid("buffer, and path or io, cannot both be given");
  request.path = "buffer";
  request.files = buffer_files(checked);
  return request;
}

}  // namespace fastserve::api
