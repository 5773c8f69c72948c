// Character classes as Hugging Face's BERT normaliser and punctuation splitter have them.
#pragma once
#include <cstdint>

namespace fastserve::hf {

bool is_punctuation(uint32_t code_point);      // P* or ASCII punctuation
bool is_nonspacing_mark(uint32_t code_point);  // what BERT drops as an accent
bool is_mark(uint32_t code_point);             // what StripAccents drops
bool is_control(uint32_t code_point);          // what BERT drops as control character; not tab, LF and CR
// Characters that were given a decomposition after Unicode 12, from which Hugging Face's normal forms are.
bool is_decomposable_since_unicode_12(uint32_t code_point);
bool is_chinese(uint32_t code_point);  // the ideographs around which BERT puts spaces

}  // namespace fastserve::hf
