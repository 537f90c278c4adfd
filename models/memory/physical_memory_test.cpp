#include "models/memory/physical_memory.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "models/cpu/test_hardware.hpp"
#include "models/memory/events.hpp"
#include "notifier/substrate/sync/events.hpp"

using namespace secmmu;
using namespace secmmu::literals;

namespace {

PhysicalMemory& memory() { return hardware().memory(); }
Pfn allocate() { return memory().allocate(FrameUse::anonymous, "test"); }

bool filled_with(Pfn pfn, std::uint8_t byte) {
  const std::uint8_t* bytes = memory().bytes(pfn);
  return std::all_of(bytes, bytes + kPageSize, [byte](std::uint8_t b) { return b == byte; });
}

struct Request : tlm::tlm_generic_payload {
  Request(tlm::tlm_command command, std::uint64_t address, void* data, unsigned bytes) {
    set_command(command);
    set_address(address);
    set_data_ptr(static_cast<unsigned char*>(data));
    set_data_length(bytes);
    set_streaming_width(bytes);
  }
};

tlm::tlm_response_status transport(tlm::tlm_generic_payload& payload) {
  sc_core::sc_time delay;
  hardware().port().socket->b_transport(payload, delay);
  CHECK(delay == sc_core::SC_ZERO_TIME);
  return payload.get_response_status();
}

}  // namespace

TEST_CASE("memory: fresh frames read as zeroes, freed ones as poison, and the last freed goes out first") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     const Pfn a = allocate();
                     const Pfn b = allocate();
                     CHECK(a == Pfn{0});
                     CHECK(b == Pfn{1});
                     CHECK(filled_with(a, 0));
                     CHECK(filled_with({1000}, 0));  // never handed out
                     CHECK(memory().put(a));
                     CHECK(memory().put(b));
                     CHECK(filled_with(a, PhysicalMemory::kPoison));
                     CHECK(filled_with(b, PhysicalMemory::kPoison));
                     CHECK(allocate() == b);
                     CHECK(filled_with(b, PhysicalMemory::kPoison));  // handed out as it was left
                     CHECK(allocate() == a);
                     CHECK(allocate() == Pfn{2});
                     memory().clear(a);
                     CHECK(filled_with(a, 0));
                     memory().copy(b, a);
                     CHECK(filled_with(a, PhysicalMemory::kPoison));
                   }}});
}

TEST_CASE("memory: a frame lives until its last reference, and misuse of the count is reported") {
  machine().reset();
  std::vector<std::string> misuse;
  std::vector<std::uint64_t> freed;
  auto& bus = machine().arbiter().bus();
  bus.listen<RefcountUnderflow>(
      [&](const auto& event, const Stamp&) { misuse.push_back("under " + std::string(event.count)); });
  bus.listen<RefcountRevived>(
      [&](const auto& event, const Stamp&) { misuse.push_back("revived " + std::string(event.count)); });
  bool poisoned_at_event = true;
  bus.listen<FrameFreed>([&](const FrameFreed& event, const Stamp&) {
    freed.push_back(event.allocation);
    poisoned_at_event = memory().bytes(event.pfn)[7] == PhysicalMemory::kPoison;
  });
  hardware().run({{"", 0, [&] {
                     const Pfn pfn = allocate();
                     CHECK(memory().frame(pfn).references == 1);
                     memory().get(pfn);
                     CHECK_FALSE(memory().put(pfn));
                     CHECK(freed.empty());
                     CHECK(memory().put(pfn));
                     CHECK_FALSE(memory().put(pfn));
                     memory().get(pfn);
                     CHECK(memory().frame(pfn).use == FrameUse::free);
                     CHECK(memory().free_frames() == TestHardware::kFrames);
                     CHECK(memory().frame(allocate()).allocation == 2);
                   }}});
  CHECK(freed == std::vector<std::uint64_t>{1});
  CHECK_FALSE(poisoned_at_event);
  CHECK(misuse == std::vector<std::string>{"under frame 0x0", "revived frame 0x0"});
}

TEST_CASE("memory: a reference taken while the last one is being dropped keeps the frame") {
  machine().reset();
  Pfn pfn;
  bool freed = true;
  hardware().run({{"dropper", 0,
                   [&] {
                     pfn = allocate();
                     freed = memory().put(pfn);
                   }},
                  {"taker", 1, [&] {
                     machine().arbiter().step(memory().costs.frame_alloc + 1_ns);
                     memory().get(pfn);
                   }}});
  CHECK_FALSE(freed);
  CHECK(memory().frame(pfn).references == 1);
  CHECK(memory().free_frames() == TestHardware::kFrames - 1);
}

TEST_CASE("memory: exhaustion says so, and goes away with the first free frame") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     for (std::uint64_t i = 0; i < TestHardware::kFrames; ++i) CHECK(allocate() == Pfn{i});
                     CHECK(memory().free_frames() == 0);
                     CHECK(allocate() == kNoPfn);
                     memory().put({17});
                     CHECK(allocate() == Pfn{17});
                     CHECK(allocate() == kNoPfn);
                   }}});
}

TEST_CASE("memory: the allocator against a model under random operations") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     RandomStream random(1, "allocator");
                     std::vector<std::uint64_t> stack;  // freed, last on top
                     std::vector<std::uint64_t> owned;
                     std::uint64_t fresh = 0;
                     bool same = true;
                     for (int i = 0; i < 20'000; ++i) {
                       if (owned.empty() || random.below(100) < 52) {
                         Pfn expected = kNoPfn;
                         if (!stack.empty()) {
                           expected = {stack.back()};
                           stack.pop_back();
                         } else if (fresh < TestHardware::kFrames) {
                           expected = {fresh++};
                         }
                         same &= allocate() == expected;
                         if (expected != kNoPfn) owned.push_back(expected.value);
                       } else {
                         std::swap(owned[random.below(owned.size())], owned.back());
                         same &= memory().put({owned.back()});
                         stack.push_back(owned.back());
                         owned.pop_back();
                       }
                       same &= memory().free_frames() == TestHardware::kFrames - owned.size();
                     }
                     CHECK(same);
                   }}});
}

TEST_CASE("memory: each operation takes what the table of costs says") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     const MemoryCosts& costs = memory().costs;
                     Arbiter& arbiter = machine().arbiter();
                     const Pfn a = allocate();
                     const Pfn b = allocate();
                     CHECK(arbiter.now() == costs.frame_alloc * 2);
                     memory().clear(a);
                     memory().copy(a, b);
                     memory().get(a);
                     memory().put(a);
                     memory().put(a);
                     CHECK(arbiter.now() ==
                           costs.frame_alloc * 2 + costs.clear_page + costs.copy_page + costs.frame_free);
                   }}});
}

TEST_CASE("memory: reset gives the memory of power-on, stray stores through direct grants included") {
  machine().reset();
  const auto once = [] {
    std::string seen;
    hardware().run({{"", 0, [&] {
                       const Pfn a = allocate();
                       seen += filled_with(a, 0) && filled_with({3000}, 0) ? "clean" : "dirty";
                       memory().bytes(a)[5] = 1;
                       hardware().port().grant({3000})[9] = 1;  // a frame that nobody was given
                       memory().put(allocate());
                       const Frame& frame = memory().frame(a);
                       seen += std::to_string(a.value) + "/" + std::to_string(frame.allocation);
                     }}});
    return seen;
  };
  CHECK(once() == "clean0/1");
  CHECK(once() == "clean0/1");
  hardware().reset();
  CHECK(memory().frame({1}).allocation == 0);
}

TEST_CASE("memory: the target keeps the rules of TLM") {
  machine().reset();
  hardware().reset();
  std::uint64_t data = 0x1122334455667788;
  const std::uint64_t end = TestHardware::kFrames << kPageShift;

  Request write(tlm::TLM_WRITE_COMMAND, 0x100, &data, 8);
  CHECK(transport(write) == tlm::TLM_OK_RESPONSE);
  CHECK(write.is_dmi_allowed());
  data = 0;
  Request read(tlm::TLM_READ_COMMAND, 0x102, &data, 2);
  CHECK(transport(read) == tlm::TLM_OK_RESPONSE);
  CHECK(data == 0x5566);
  Request ignore(tlm::TLM_IGNORE_COMMAND, 0x100, &data, 8);
  CHECK(transport(ignore) == tlm::TLM_OK_RESPONSE);
  CHECK(data == 0x5566);

  for (const std::uint64_t address : {end, end - 4, UINT64_MAX, UINT64_MAX - 3}) {
    Request outside(tlm::TLM_WRITE_COMMAND, address, &data, 8);
    CHECK(transport(outside) == tlm::TLM_ADDRESS_ERROR_RESPONSE);
    CHECK_FALSE(outside.is_dmi_allowed());
  }
  unsigned char enables[8] = {0xff};
  Request enabled(tlm::TLM_WRITE_COMMAND, 0, &data, 8);
  enabled.set_byte_enable_ptr(enables);
  enabled.set_byte_enable_length(8);
  CHECK(transport(enabled) == tlm::TLM_BYTE_ENABLE_ERROR_RESPONSE);
  Request streamed(tlm::TLM_WRITE_COMMAND, 0, &data, 8);
  streamed.set_streaming_width(4);
  CHECK(transport(streamed) == tlm::TLM_BURST_ERROR_RESPONSE);
  Request nothing(tlm::TLM_READ_COMMAND, 0, &data, 0);
  CHECK(transport(nothing) == tlm::TLM_BURST_ERROR_RESPONSE);
  CHECK(filled_with({1}, 0));
  CHECK(memory().bytes({0})[0] == 0);

  data = 0;
  Request debug(tlm::TLM_READ_COMMAND, 0x100, &data, 8);
  CHECK(hardware().port().socket->transport_dbg(debug) == 8);
  CHECK(data == 0x1122334455667788);
  Request clipped(tlm::TLM_READ_COMMAND, end - 3, &data, 8);
  CHECK(hardware().port().socket->transport_dbg(clipped) == 3);
  Request beyond(tlm::TLM_READ_COMMAND, end, &data, 8);
  CHECK(hardware().port().socket->transport_dbg(beyond) == 0);

  tlm::tlm_dmi dmi;
  Request inside(tlm::TLM_READ_COMMAND, 0x5000, nullptr, 0);
  CHECK(hardware().port().socket->get_direct_mem_ptr(inside, dmi));
  CHECK(dmi.is_read_write_allowed());
  CHECK(dmi.get_start_address() == 0);
  CHECK(dmi.get_end_address() == end - 1);
  Request denied(tlm::TLM_READ_COMMAND, end, nullptr, 0);
  CHECK_FALSE(hardware().port().socket->get_direct_mem_ptr(denied, dmi));
  CHECK(dmi.get_start_address() == end);
}

TEST_CASE("memory: a folio is aligned, counted in its first frame, and freed as a whole") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     std::vector<std::uint64_t> freed;
                     machine().arbiter().bus().listen<FrameFreed>(
                         [&](const FrameFreed& event, const Stamp&) { freed.push_back(event.pages); });
                     const Pfn small = allocate();
                     const Pfn folio = memory().allocate_huge(FrameUse::anonymous, "test");
                     CHECK(small == Pfn{0});
                     CHECK(folio == Pfn{TestHardware::kFrames - kHugeFrames});
                     CHECK(memory().free_frames() == TestHardware::kFrames - kHugeFrames - 1);
                     const Pfn inside{folio.value + 77};
                     CHECK(memory().head(inside) == folio);
                     CHECK(memory().folio_frames(inside) == kHugeFrames);
                     CHECK(memory().folio_frames(small) == 1);
                     memory().get(inside);
                     CHECK(memory().references(folio) == 2);
                     ++memory().frame(inside).mappings;
                     ++memory().frame(folio).whole_mappings;
                     CHECK(memory().mappings(inside) == 2);
                     CHECK(memory().mappings({inside.value + 1}) == 1);
                     --memory().frame(inside).mappings;
                     --memory().frame(folio).whole_mappings;
                     CHECK_FALSE(memory().put(inside));
                     CHECK(memory().put(inside));
                     CHECK(freed == std::vector<std::uint64_t>{kHugeFrames});
                     CHECK(filled_with(inside, PhysicalMemory::kPoison));
                     CHECK(memory().frame(inside).use == FrameUse::free);
                     // The next folio is that block again, the next small frame is not of it.
                     CHECK(allocate() == Pfn{1});
                     CHECK(memory().allocate_huge(FrameUse::anonymous, "test") == folio);
                     // Its frames part, and go one by one.
                     memory().split_folio(inside);
                     CHECK(memory().references(inside) == 1);
                     CHECK(memory().head(inside) == inside);
                     CHECK(memory().put(inside));
                     CHECK(freed.back() == 1);
                     CHECK(allocate() == inside);
                   }}});
}

TEST_CASE("memory: blocks come back to huge pages when all their frames are free") {
  machine().reset();
  hardware().run({{"", 0, [] {
                     constexpr std::uint64_t kBlocks = TestHardware::kFrames / kHugeFrames;
                     const auto huge = [] { return memory().allocate_huge(FrameUse::anonymous, "test"); };
                     std::vector<Pfn> folios;
                     for (std::uint64_t i = 0; i < kBlocks; ++i) folios.push_back(huge());
                     CHECK(folios.back() == Pfn{0});
                     CHECK(huge() == kNoPfn);
                     CHECK(allocate() == kNoPfn);
                     for (const Pfn folio : folios) memory().put(folio);
                     // Small frames break one block after the other.
                     std::vector<Pfn> frames;
                     for (std::uint64_t i = 0; i < TestHardware::kFrames; ++i) frames.push_back(allocate());
                     CHECK(allocate() == kNoPfn);
                     std::sort(frames.begin(), frames.end());
                     CHECK(std::adjacent_find(frames.begin(), frames.end()) == frames.end());
                     for (std::uint64_t i = 0; i < 2 * kHugeFrames; i += 2) memory().put(frames[i]);
                     CHECK(huge() == kNoPfn);  // enough, but not together
                     for (std::uint64_t i = 1; i < kHugeFrames; i += 2) memory().put(frames[i]);
                     CHECK(huge() == Pfn{0});
                     CHECK(huge() == kNoPfn);
                     for (std::uint64_t i = 0; i < kHugeFrames / 2; ++i) CHECK(allocate() >= Pfn{kHugeFrames});
                     CHECK(memory().free_frames() == 0);
                   }}});
}
