#include "sim/conform/pte_state.hpp"

namespace secmmu::conform {

std::string_view pte_state(Mm& mm, Vpn page) {
  const Pte entry = mm.peek(page);
  if (entry.prot_none()) return "protnone";
  if (entry.swap()) return "swap";
  if (entry.migration()) return "migration";
  if (!entry.present()) return "none";
  if (entry.huge()) return entry.writable() ? "huge-rw" : "huge-ro";
  return entry.writable() ? "rw" : "ro";
}

}  // namespace secmmu::conform
