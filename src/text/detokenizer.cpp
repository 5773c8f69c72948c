// Token ids back to text: whole code points only, U+FFFD for bytes that are none.
#include <cstring>

#include "text/tokenizer.h"
#include "text/unicode.h"

namespace fastserve {

void StreamDecoder::push(int32_t id, std::string& out) {
  if (skip_special_ && (tokenizer_->attributes(id) & kTokenControl) != 0) return;
  std::string_view bytes = at_start_ ? tokenizer_->first_token_bytes(id) : tokenizer_->token_bytes(id);
  at_start_ = false;
  if (bytes.empty()) return;
  for (; spaces_to_drop_ > 0 && bytes.starts_with(' '); --spaces_to_drop_) bytes.remove_prefix(1);
  if (!bytes.empty()) spaces_to_drop_ = 0;

  std::string joined;
  if (pending_size_ > 0) {
    joined.assign(pending_, static_cast<size_t>(pending_size_)).append(bytes);
    bytes = joined;
    pending_size_ = 0;
  }
  for (size_t position = 0; position < bytes.size();) {
    const unicode::Sequence sequence = unicode::inspect(bytes, position);
    if (!sequence.complete) {
      pending_size_ = static_cast<int>(sequence.size_bytes);
      std::memcpy(pending_, bytes.data() + position, sequence.size_bytes);
      return;
    }
    if (sequence.valid) {
      out.append(bytes.substr(position, sequence.size_bytes));
    } else {
      unicode::append_utf8(0xFFFD, out);
    }
    position += sequence.size_bytes;
  }
  if (tokenizer_->drops_last_space() && bytes.ends_with(' ')) {  // unless more follows
    out.pop_back();
    pending_[0] = ' ';
    pending_size_ = 1;
  }
}

void StreamDecoder::finish(std::string& out) {
  if (pending_size_ > 0 && pending_[0] != ' ') unicode::append_utf8(0xFFFD, out);
  pending_size_ = 0;
}

std::string decode(const Tokenizer& tokenizer, std::span<const int32_t> ids, bool skip_special) {
  std::string text;
  StreamDecoder decoder(&tokenizer, skip_special);
  for (const int32_t id : ids) decoder.push(id, text);
  decoder.finish(text);
  return text;
}

}  // namespace fastserve
