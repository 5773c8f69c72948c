// Packing of file types whose quants already lie in words as the panels hold them: words are moved, nothing is taken
// apart. A load packs at the speed of memory then.
#pragma once
#include <cstdint>

#include "tensor/dtype.h"

namespace fastserve {

// As pack_panel (packing.h); false, and nothing written, where `type` is not of that kind.
bool pack_words(DType type, const uint8_t* source, int64_t row_count, int64_t cols, uint8_t* panel);

}  // namespace fastserve
