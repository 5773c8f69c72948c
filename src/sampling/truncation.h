// Cuts that keep the most likely candidates: by count, by probability mass, by share of the largest probability.
// No cut sorts a vocabulary: the k-th is selected, and mass is found by halving.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

#include "sampling/logits_scan.h"

namespace fastserve {

// Keeps the `count` most likely, in no particular order.
void keep_top_count(std::vector<Candidate>& candidates, size_t count);

// Keeps the shortest prefix, in order of likelihood, whose sum of exp(logit - max) reaches `mass`; at least one, all
// if the sum stays below. In no particular order.
void keep_top_mass(std::vector<Candidate>& candidates, float max, double mass);

// sum of exp((logit - max) * scale), f64, in the order of the span.
double sum_exponentials(std::span<const Candidate> candidates, float max, float scale);

// The least likely of a set that is not empty.
Candidate find_least_likely(std::span<const Candidate> candidates);

}  // namespace fastserve
