// Counts how deep the evaluator is in itself, so that no template can exhaust the native stack.
#pragma once
#include "base/format.h"
#include "text/jinja/evaluator.h"

namespace fastserve::jinja {

struct DepthGuard {
  explicit DepthGuard(Evaluator& owner) : evaluator(owner) {
    if (evaluator.depth_ >= evaluator.limits_.depth) {
      fail(format("evaluation is nested more than ", evaluator.limits_.depth, " deep"));
    }
    ++evaluator.depth_;
  }
  ~DepthGuard() { --evaluator.depth_; }
  DepthGuard(const DepthGuard&) = delete;
  DepthGuard& operator=(const DepthGuard&) = delete;

  Evaluator& evaluator;
};

}  // namespace fastserve::jinja
