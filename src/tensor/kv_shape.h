// What a family says of its attention layers, for whoever lays out their keys and values.
#pragma once
#include <cstdint>

namespace fastserve {

struct KvLayerShape {
  int32_t kv_head_count = 0;
  int32_t head_dim = 0;
  int32_t value_dim = 0;
  int32_t window = 0;  // 0: keeps all
};

}  // namespace fastserve
