// Regular expressions over valid UTF-8, as tokenizer files hold them (Oniguruma's dialect), matched by PCRE2 with
// bounded work. Immutable, used by any thread.
#pragma once
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer.h"

namespace fastserve {

class Regex {
 public:
  // kUnsupported with the place and reason when the pattern cannot be compiled.
  static Result<Regex> compile(std::string_view pattern);

  // Appends every match, also empty ones, in order. kInvalidArgument when the limits on work or memory are reached.
  Status find_all(std::string_view text, std::vector<TextRange>& matches) const;

  struct Code;

 private:
  std::shared_ptr<const Code> code_;
  std::string pattern_;
};

}  // namespace fastserve
