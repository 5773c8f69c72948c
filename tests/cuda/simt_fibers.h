// Fibers for the emulator: stacks with a guard page each, switched by hand (x86-64, System V). One runs at a time.
#pragma once
#include <cstddef>

namespace fastserve::simt {

// A place to go on from: a fiber's, or the scheduler's own.
struct Context {
  void* stack_pointer = nullptr;
  void* stack_bottom = nullptr;  // for the address sanitizer
  size_t stack_bytes = 0;
  void* fake_stack = nullptr;
};

// Prepares a fiber that calls entry(argument), which never returns, on the index-th stack of this process.
Context make_fiber(size_t index, void (*entry)());
// Leaves `from` and goes on in `to`. A fiber that will not come back says so.
void switch_context(Context& from, Context& to, bool leaves_for_good = false);
// The first thing a fiber does.
void enter_fiber(Context& from);

}  // namespace fastserve::simt
