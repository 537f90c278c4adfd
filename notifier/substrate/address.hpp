// Addresses, page numbers and ranges as types that do not mix: handing a physical address to something
// that wants a virtual one does not compile. Base pages are 4 KiB, as on x86-64.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace secmmu {

inline constexpr std::uint64_t kPageShift = 12;
inline constexpr std::uint64_t kPageSize = 1ULL << kPageShift;

// A virtual page number: the address divided by the page size.
struct Vpn {
  std::uint64_t value = 0;
  constexpr auto operator<=>(const Vpn&) const = default;
  constexpr Vpn operator+(std::uint64_t pages) const { return {value + pages}; }
  constexpr std::uint64_t operator-(Vpn other) const { return value - other.value; }
};

// A page frame number: the physical address divided by the page size.
struct Pfn {
  std::uint64_t value = 0;
  constexpr auto operator<=>(const Pfn&) const = default;
};
inline constexpr Pfn kNoPfn{UINT64_MAX};

struct VirtAddr {
  std::uint64_t value = 0;
  constexpr auto operator<=>(const VirtAddr&) const = default;
  constexpr VirtAddr operator+(std::uint64_t bytes) const { return {value + bytes}; }
  constexpr std::uint64_t operator-(VirtAddr other) const { return value - other.value; }
  constexpr Vpn page() const { return {value >> kPageShift}; }
  constexpr std::uint64_t offset() const { return value & (kPageSize - 1); }
};

struct PhysAddr {
  std::uint64_t value = 0;
  constexpr auto operator<=>(const PhysAddr&) const = default;
  constexpr PhysAddr operator+(std::uint64_t bytes) const { return {value + bytes}; }
  constexpr Pfn frame() const { return {value >> kPageShift}; }
};

constexpr VirtAddr address_of(Vpn page) { return {page.value << kPageShift}; }
constexpr PhysAddr address_of(Pfn frame) { return {frame.value << kPageShift}; }

// Pages [first, end): half open. An empty range has first == end.
struct PageRange {
  Vpn first;
  Vpn end;

  constexpr auto operator<=>(const PageRange&) const = default;
  constexpr std::uint64_t pages() const { return end.value - first.value; }
  constexpr bool empty() const { return end <= first; }
  constexpr bool contains(Vpn page) const { return first <= page && page < end; }
  constexpr bool overlaps(PageRange other) const { return first < other.end && other.first < end; }
  constexpr PageRange intersect(PageRange other) const {
    const Vpn low = first < other.first ? other.first : first;
    const Vpn high = end < other.end ? end : other.end;
    return {low, high < low ? low : high};
  }
};

// The pages of the whole user address space: what an event about "all of it" covers.
inline constexpr PageRange kWholeSpace{{0}, {1ULL << (47 - kPageShift)}};

constexpr PageRange one_page(Vpn page) { return {page, page + 1}; }

// Every page that the bytes [start, start + bytes) touch.
constexpr PageRange pages_of(VirtAddr start, std::uint64_t bytes) {
  return {start.page(), {(start.value + bytes + kPageSize - 1) >> kPageShift}};
}

std::string to_text(VirtAddr address);  // 0x7f0000001000
std::string to_text(PageRange range);   // [0x7f0000001000,0x7f0000003000)

}  // namespace secmmu
