// load_dtype: a source whose float matrices come out quantised, row by row as they are read.
#pragma once
#include "formats/model_source.h"
#include "tensor/dtype.h"

namespace fastserve {

// Matrices in F32, F16 or BF16 become `type`; what is quantised already stays as it is, and so do vectors, routers and
// position embeddings. With a type below eight bits the embedding and output matrices become Q8_0: they decide the most
// and are read the least. kUnsupported for a type that cannot be made (see can_quantize).
Result<std::unique_ptr<ModelSource>> quantize_on_load(std::unique_ptr<ModelSource> source, DType type);

}  // namespace fastserve
