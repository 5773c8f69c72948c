// Selection by std::nth_element on a total order: the kept set does not depend on that algorithm, but where a sum of
// probabilities meets `mass` within one part in 10^15.
#include "sampling/truncation.h"

#include <algorithm>

namespace fastserve {

void keep_top_count(std::vector<Selected>& selection, size_t count) {
  if (count >= selection.size()) return;
  const auto end = selection.begin() + static_cast<std::ptrdiff_t>(count);
  std::nth_element(selection.begin(), end, selection.end(), comes_before);
  selection.erase(end, selection.end());
}

double sum_weights(std::span<const Selected> selection) {
  double sum = 0;
  for (const Selected& selected : selection) sum += static_cast<double>(selected.weight);
  return sum;
}

void keep_top_mass(std::vector<Selected>& selection, double mass) {
  constexpr size_t kSortedSize = 64;
  // Halve the range that holds the end of the prefix: what is before `first` is in, what is from `last` on is out.
  size_t first = 0;
  size_t last = selection.size();
  double before = 0;
  const auto at = [&](size_t index) { return selection.begin() + static_cast<std::ptrdiff_t>(index); };
  while (last - first > kSortedSize) {
    const size_t middle = first + (last - first) / 2;
    std::nth_element(at(first), at(middle), at(last), comes_before);
    const double half = sum_weights(std::span(selection).subspan(first, middle - first));
    if (before + half >= mass) {
      last = middle;
    } else {
      before += half;
      first = middle;
    }
  }
  std::sort(at(first), at(last), comes_before);
  size_t end = first;
  while (end < last && (end == 0 || before < mass)) before += static_cast<double>(selection[end++].weight);
  selection.erase(at(end), selection.end());
}

Selected find_last(std::span<const Selected> selection) {
  return *std::max_element(selection.begin(), selection.end(), comes_before);
}

}  // namespace fastserve
