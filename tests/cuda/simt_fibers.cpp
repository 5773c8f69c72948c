// Fibers by hand: six registers and the stack pointer.
#include "cuda/simt_fibers.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

asm(R"(
  .text
  .type fastserve_switch_stack, @function
fastserve_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size fastserve_switch_stack, . - fastserve_switch_stack
)");
extern "C" void fastserve_switch_stack(void** save, void* next) asm("fastserve_switch_stack");

namespace fastserve::simt {
namespace {

constexpr size_t kStackBytes = 128 * 1024;  // lazily backed

uint8_t* stack_of(size_t index) {
  static std::vector<uint8_t*> stacks;
  while (stacks.size() <= index) {
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    void* memory = mmap(nullptr, kStackBytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    mprotect(memory, page, PROT_NONE);
    stacks.push_back(static_cast<uint8_t*>(memory) + page);
  }
  return stacks[index];
}

}  // namespace

Context make_fiber(size_t index, void (*entry)()) {
  uint8_t* bottom = stack_of(index);
#if defined(__SANITIZE_ADDRESS__)
  __asan_unpoison_memory_region(bottom, kStackBytes);  // frames of a fiber before it never returned
#endif
  auto* top = reinterpret_cast<uint64_t*>(bottom + kStackBytes);
  *--top = 0;  // an address to return to that is none; keeps the entry's stack aligned as after a call
  *--top = reinterpret_cast<uint64_t>(entry);
  for (int i = 0; i < 6; ++i) *--top = 0;
  return {top, bottom, kStackBytes, nullptr};
}

void switch_context(Context& from, Context& to, [[maybe_unused]] bool leaves_for_good) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(leaves_for_good ? nullptr : &from.fake_stack, to.stack_bottom, to.stack_bytes);
#endif
  fastserve_switch_stack(&from.stack_pointer, to.stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.fake_stack, nullptr, nullptr);
#endif
}

void enter_fiber([[maybe_unused]] Context& from) {
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom = nullptr;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &from.stack_bytes);
  from.stack_bottom = const_cast<void*>(bottom);
#endif
}

}  // namespace fastserve::simt
