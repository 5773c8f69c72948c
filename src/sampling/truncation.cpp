// Selection by std::nth_element on a total order: the kept set does not depend on that algorithm, but where a sum of
// probabilities meets `mass` within one part in 10^15.
#include "sampling/truncation.h"

#include <algorithm>

namespace fastserve {

void keep_top_count(std::vector<Candidate>& candidates, size_t count) {
  if (count >= candidates.size()) return;
  const auto end = candidates.begin() + static_cast<std::ptrdiff_t>(count);
  std::nth_element(candidates.begin(), end, candidates.end(), more_likely);
  candidates.erase(end, candidates.end());
}

double sum_exponentials(std::span<const Candidate> candidates, float max, float scale) {
  double sum = 0;
  for (const Candidate& candidate : candidates) {
    sum += static_cast<double>(exp_nonpositive((candidate.logit - max) * scale));
  }
  return sum;
}

void keep_top_mass(std::vector<Candidate>& candidates, float max, double mass) {
  constexpr size_t kSortedSize = 64;
  // Halve the range that holds the end of the prefix: what is before `first` is in, what is from `last` on is out.
  size_t first = 0;
  size_t last = candidates.size();
  double before = 0;
  const auto at = [&](size_t index) { return candidates.begin() + static_cast<std::ptrdiff_t>(index); };
  while (last - first > kSortedSize) {
    const size_t middle = first + (last - first) / 2;
    std::nth_element(at(first), at(middle), at(last), more_likely);
    const double half = sum_exponentials(std::span(candidates).subspan(first, middle - first), max, 1.0f);
    if (before + half >= mass) {
      last = middle;
    } else {
      before += half;
      first = middle;
    }
  }
  std::sort(at(first), at(last), more_likely);
  size_t end = first;
  while (end < last && (end == 0 || before < mass)) {
    before += static_cast<double>(exp_nonpositive(candidates[end].logit - max));
    ++end;
  }
  candidates.erase(at(end), candidates.end());
}

Candidate find_least_likely(std::span<const Candidate> candidates) {
  return *std::max_element(candidates.begin(), candidates.end(), more_likely);
}

}  // namespace fastserve
