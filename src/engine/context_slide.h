// What a sequence does when its context is full and its request wants it to go on: the first tokens stay, of the others
// the oldest go, and what is left is a text of its own: computed as a fresh prompt would be, at positions from 0 on.
#pragma once
#include "engine/request.h"

namespace fastserve {

// Whether the kept tokens leave room to go on; named by the config's field.
Status check_context_slide(const Request& request);
// Drops tokens from a sequence whose context is full. Keys and values hold rotated positions, so only those of the
// kept prefix stay (none, where a window has dropped what they need); the rest is computed again by the next steps.
// Penalties and the like see what is left. Engine thread, under the engine's mutex; allocates nothing.
void slide_context(Sequence& sequence);

}  // namespace fastserve
