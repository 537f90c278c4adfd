// Changing the entries of a range as mprotect does: announced, and flushed when and as this kernel does it.
#pragma once

#include "models/mm/gather.hpp"
#include "models/mm/huge.hpp"

namespace secmmu {

// A piece of one VMA, whose attributes these are. `change` says what each entry becomes.
void change_protection(Gather& gather, PageRange piece, const VmaAttributes& attributes, ChangeEntry change);
// The end of the call.
void finish_protection(Gather& gather);
// mprotect's change.
Pte protected_entry(const MmBehaviour& behaviour, Pte old, const VmaAttributes& attributes);

}  // namespace secmmu
