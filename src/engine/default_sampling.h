// How a model's makers want it sampled, from its metadata.
#pragma once
#include "formats/model_source.h"
#include "sampling/sampling_parameters.h"

namespace fastserve {

// From GGUF's "general.sampling.*" keys, as llama.cpp writes and reads them, or from a folder's generation_config.json.
// The latter's order of stages is that of transformers: penalties over the whole text, temperature before the cuts; a
// do_sample that is false means greedy. What is not named, not known or out of range stays the library's default.
SamplingParameters read_default_sampling(const ModelSource& source, std::string_view generation_config);

}  // namespace fastserve
