// The bits of a translation's ghost word that rules set for themselves, beside those that everybody knows. A device
// that meets one tells of the access to those who listen to this kind of event, and no trace shows it.
#pragma once

#include <cstdint>

namespace secmmu {

inline constexpr std::uint32_t kNextWrite = 4;  // lost-dirty waits for the first write through it
inline constexpr std::uint32_t kNextUse = 8;    // lost-young for the first use

}  // namespace secmmu
