// The `loop` variable of a for block.
#pragma once
#include <vector>

#include "text/jinja/jinja_value.h"

namespace fastserve::jinja {

struct LoopObject : Object {
  std::vector<Value> items;
  mutable size_t index0 = 0;
  size_t depth0 = 0;
  mutable Value last_changed;  // of loop.changed()
  mutable bool changed_called = false;
  mutable bool finished = false;  // nothing is remembered any more, since it might hold the loop itself
  Value recurse;                  // callable of a recursive loop, else undefined
};

}  // namespace fastserve::jinja
