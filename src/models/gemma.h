// What the Gemma families share: norms around every block (their weights come as 1 + w), GeGLU, scaled embeddings,
// rotary halves, soft caps.
#pragma once
#include "models/decoder.h"

namespace fastserve {

class Gemma : public Decoder {
 protected:
  // `layers_of_27b`: the largest model scales attention by an equal share of the width, and is known by its layers.
  // The caps are those of files that name none; 0: no cap.
  Status read_gemma(const ModelSource& source, std::string_view architecture, int32_t layers_of_27b, float score_cap,
                    float logit_cap);
};

}  // namespace fastserve
