#include "sim/scenario/verbs.hpp"

#include <algorithm>
#include <array>

namespace secmmu::language {
namespace {

constexpr unsigned kCpu = static_cast<unsigned>(User::cpu);
constexpr unsigned kDevice = static_cast<unsigned>(User::device);
constexpr unsigned kProbe = static_cast<unsigned>(User::probe);

const Argument kBuffer = {{"buffer", Shape::buffer, true, "Which buffer."}, &Step::buffer};
const Argument kPages = {{"pages", Shape::pages, false, "Which pages of it, half open; all if absent."}, {}};
const Argument kOffset = {
    {"offset", Shape::offset, false, "Byte of each page where the eight bytes start; 0 if absent."}, &Step::offset};
const Argument kProt = {{"prot", Shape::protection, true, "The new rights."}, &Step::protection};

Verb device_verb(std::string_view name, std::string_view sentence) {
  return {name, sentence, kCpu, true, {{{"device", Shape::device, true, "Which device."}, &Step::name}}, "device"};
}
Verb process_verb(std::string_view name, std::string_view sentence, unsigned users) {
  return {name,     sentence, users, false, {{{"process", Shape::process, true, "Which process."}, &Step::name}},
          "process"};
}

std::vector<Verb> make_verbs() {
  return {
      {"read",
       "Reads eight bytes of each page.",
       kCpu | kDevice,
       true,
       {kBuffer,
        kPages,
        kOffset,
        {{"want", Shape::want, false, "The number that must be seen, or one for each kernel."}, {}}}},
      {"write",
       "Writes eight bytes of each page.",
       kCpu | kDevice,
       true,
       {kBuffer,
        kPages,
        kOffset,
        {{"value", Shape::number, false, "The number to write; one of the simulator's choice if absent."},
         &Step::value},
        {{"count_up", Shape::flag, false, "Each further page gets a value higher by one; false if absent."},
         &Step::count_up}}},
      {"access",
       "Makes many accesses after a pattern.",
       kCpu | kDevice,
       true,
       {kBuffer,
        kPages,
        {{"pattern", Shape::pattern, true,
          "stride, random, zipf (few pages get most) or chase (each read names the next)."},
         &Generator::pattern},
        {{"count", Shape::count, true, "How many accesses."}, &Generator::count},
        {{"stride", Shape::count, false, "Bytes from one access to the next, for stride; 64 if absent."},
         &Generator::stride},
        {{"write_one_in", Shape::number, false, "Every n-th access is a write; 0, none, if absent."},
         &Generator::write_one_in},
        {{"skew", Shape::hundredths, false, "Exponent of zipf; 1.00 if absent."}, &Generator::skew_percent}}},
      {"mmap",
       "Maps new memory.",
       kCpu,
       true,
       {{{"buffer", Shape::new_buffer, true, "Its name from now on."}, &Step::buffer},
        {{"pages", Shape::count, true, "Its size."}, &Step::pages},
        {{"prot", Shape::protection, false, "Its rights; rw if absent."}, &Step::protection},
        {{"backing", Shape::backing, false,
          "Private (anon) or shared memory, a shared file, or a private mapping of a memfd or a file; anon if absent."},
         &Step::backing},
        {{"file_of", Shape::buffer, false, "Maps no new file, but that of this buffer, from that page of it on."},
         &Step::onto},
        {{"at", Shape::address, false, "Its address; the kernel finds a place if absent."}, &Step::address}}},
      {"mmap_fixed",
       "Maps fresh private memory over pages of a buffer (MAP_FIXED): what was there is unmapped.",
       kCpu,
       true,
       {kBuffer, kPages, {{"prot", Shape::protection, false, "Its rights; rw if absent."}, &Step::protection}}},
      {"munmap", "Unmaps pages.", kCpu | kProbe, true, {kBuffer, kPages}},
      {"mprotect", "Changes the rights of pages.", kCpu, true, {kBuffer, kPages, kProt}},
      {"zap_pages",
       "Takes the process's pages away within the callback, without any lock (zap_page_range).",
       kProbe,
       true,
       {kBuffer, kPages}},
      {"dontneed", "madvise(MADV_DONTNEED): gives the frames back, keeps the mapping.", kCpu, true, {kBuffer, kPages}},
      {"hugepage",
       "madvise(MADV_HUGEPAGE): the first touch of a block of 512 pages that lies wholly in the buffer maps a huge "
       "page.",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"nohugepage", "madvise(MADV_NOHUGEPAGE): no huge pages there from now on.", kCpu, true, {kBuffer, kPages}},
      {"collapse",
       "madvise(MADV_COLLAPSE): the pages of whole blocks become huge pages, now (v6.1 on).",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"truncate",
       "ftruncate: sets the size of the file, or the shared memory, behind a buffer.",
       kCpu,
       true,
       {kBuffer, {{"size", Shape::number, true, "The new size in pages."}, &Step::pages}}},
      {"punch",
       "fallocate(PUNCH_HOLE): frees pages of the file behind a buffer; private copies stay (v3.5 on).",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"pwrite",
       "Writes eight bytes of each page into the file behind a buffer, by a call and not through the mapping.",
       kCpu,
       true,
       {kBuffer,
        kPages,
        kOffset,
        {{"value", Shape::number, false, "The number to write; one of the simulator's choice if absent."},
         &Step::value},
        {{"count_up", Shape::flag, false, "Each further page gets a value higher by one; false if absent."},
         &Step::count_up}}},
      {"remove",
       "madvise(MADV_REMOVE): frees pages of a shared buffer, for everyone who maps them.",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"msync",
       "Writes back what was written to a file buffer: its pages are clean and read-only until the next write.",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"lazyfree",
       "madvise(MADV_FREE): reclaim may throw the pages away, as long as nobody writes them again.",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"cold", "madvise(MADV_COLD): the pages were not used of late.", kCpu, true, {kBuffer, kPages}},
      {"pageout", "madvise(MADV_PAGEOUT): reclaim looks at the pages at once.", kCpu, true, {kBuffer, kPages}},
      {"populate_read",
       "madvise(MADV_POPULATE_READ): faults as if each page were read.",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"populate_write",
       "madvise(MADV_POPULATE_WRITE): faults as if each page were written.",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"clear_referenced", "/proc/PID/clear_refs, 1: none of the process's pages was used.", kCpu, true, {}},
      {"clear_soft_dirty",
       "/proc/PID/clear_refs, 4: none of the process's pages was written; the next write of each takes a fault.",
       kCpu,
       true,
       {}},
      {"mark_idle",
       "Idle-page tracking: what uses these pages from now on ends their idleness.",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"count_idle",
       "Idle-page tracking: asks which pages are still idle.",
       kCpu,
       true,
       {kBuffer, kPages, {{"want", Shape::want, false, "How many must be, or one number for each kernel."}, {}}}},
      {"move_pages",
       "move_pages(2): moves pages to a memory node.",
       kCpu,
       true,
       {kBuffer,
        kPages,
        {{"node", Shape::number, false, "The node; 1 if absent."}, &Step::value},
        {{"shared_too", Shape::flag, false, "Also pages that others map (MPOL_MF_MOVE_ALL); false if absent."},
         &Step::count_up},
        {{"want", Shape::want, false, "How many must be there then, or one number for each kernel."}, {}}}},
      {"soft_offline",
       "madvise(MADV_SOFT_OFFLINE): the frames of the pages are taken out of use; the pages move to others "
       "(v2.6.33 on).",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"mlock", "Brings the pages in and keeps them in memory.", kCpu, true, {kBuffer, kPages}},
      {"munlock", "Ends that.", kCpu, true, {kBuffer, kPages}},
      {"dontfork", "madvise(MADV_DONTFORK): a child does not get this memory.", kCpu, true, {kBuffer, kPages}},
      {"dofork", "madvise(MADV_DOFORK): it does.", kCpu, true, {kBuffer, kPages}},
      {"wipeonfork",
       "madvise(MADV_WIPEONFORK): a child gets fresh memory in its place (v4.14 on).",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"keeponfork", "madvise(MADV_KEEPONFORK): it gets what is there (v4.14 on).", kCpu, true, {kBuffer, kPages}},
      {"uffd_register",
       "userfaultfd: the process will hear of writes to pages of this memory that it protects (v5.7 on).",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"uffd_protect",
       "userfaultfd: who writes to the pages that are there waits from now on (v5.7 on).",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"uffd_unprotect",
       "userfaultfd: the pages may be written, and who waits goes on (v5.7 on).",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"uffd_answer",
       "userfaultfd: waits for a write to a protected page, and lets it go on (v5.7 on).",
       kCpu,
       true,
       {}},
      {"mergeable",
       "madvise(MADV_MERGEABLE): KSM may merge equal pages of this memory (v2.6.32 on).",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"unmergeable",
       "madvise(MADV_UNMERGEABLE): the pages become the process's own again (v2.6.32 on).",
       kCpu,
       true,
       {kBuffer, kPages}},
      {"ksm", "ksmd goes through all mergeable memory until there is nothing more to merge.", kCpu, false, {}},
      {"mremap",
       "Moves pages to a fresh place under a new name, or over pages of another buffer, or grows the buffer.",
       kCpu,
       true,
       {kBuffer,
        kPages,
        {{"to", Shape::new_buffer, false, "Moves: the name of the pages at their new place."}, &Step::name},
        {{"onto", Shape::buffer, false, "Moves: the buffer whose pages are unmapped for them."}, &Step::onto},
        {{"onto_page", Shape::number, false, "The first of those pages; 0 if absent."}, &Step::onto_page},
        {{"grow_to", Shape::count, false, "Grows: the new size in pages."}, &Step::pages}}},
      {"brk",
       "Sets the size of the heap, the buffer `heap`.",
       kCpu,
       true,
       {{{"pages", Shape::number, true, "The new size."}, &Step::pages}},
       "pages"},
      {"fork",
       "Makes a child process, a copy-on-write image of this one.",
       kCpu,
       true,
       {{{"child", Shape::new_process, true, "Its name; actors of that process start now."}, &Step::name}},
       "child"},
      {"exit", "Ends the process.", kCpu, true, {}},
      {"delay",
       "Works for some time without giving the core up.",
       kCpu | kDevice | kProbe,
       false,
       {{{"time", Shape::duration, true, "How long."}, &Step::duration}},
       "time"},
      {"sleep",
       "Sleeps: another task may have the core.",
       kCpu | kProbe,
       false,
       {{{"time", Shape::duration, true, "How long."}, &Step::duration}},
       "time"},
      {"barrier",
       "Waits until everyone who names this barrier has come to it.",
       kCpu | kDevice | kProbe,
       false,
       {{{"name", Shape::meeting, true, "The barrier."}, &Step::name}},
       "name"},
      {"loop",
       "Repeats steps.",
       kCpu | kDevice,
       false,
       {{{"times", Shape::count, true, "How often."}, &Step::times},
        {{"do", Shape::steps, true, "The steps, in order."}, {}}}},
      {"register",
       "The device subscribes to this process; an interval probe may cover a buffer or some of its pages only.",
       kCpu,
       true,
       {{{"device", Shape::device, true, "Which device."}, &Step::name},
        {{"buffer", Shape::buffer, false, "What an interval covers; everything if absent."}, &Step::buffer},
        kPages},
       "device"},
      {"unregister",
       "The device gives its subscription to this process up.",
       kCpu,
       true,
       {{{"device", Shape::device, true, "Which device."}, &Step::name}},
       "device"},
      device_verb("unregister_no_release",
                  "A probe leaves the list: no release, no wait for callbacks (v3.17 to v5.3)."),
      device_verb("free", "A probe's driver frees its latest subscription to this process, here and now."),
      device_verb("free_later",
                  "A probe's driver has that freed after a grace period: of the notifiers (v3.17 to v5.3), of RCU "
                  "before."),
      device_verb("drain", "A probe's driver waits until no range of this process is counted as open."),
      device_verb("add_object",
                  "A probe with late_object makes the object whose ranges it counts: a memory region, a memslot."),
      device_verb("driver_exit", "A probe's module is unloaded: whoever calls it from now on calls nothing."),
      {"synchronize", "mmu_notifier_synchronize (v3.17 on): what a module does before it goes.", kCpu, false, {}},
      process_verb(
          "oom_reap",
          "The out-of-memory reaper (process_mrelease) takes the private pages of a dying process; EAGAIN if a "
          "subscriber would have to wait.",
          kCpu),
      process_verb(
          "khugepaged",
          "One round of khugepaged through the process: blocks whose pages are in use become huge (v2.6.38 on).", kCpu),
      process_verb("mmget", "Becomes a user of the process's memory, if it still has one (mmget_not_zero).", kCpu),
      process_verb("mmput", "Gives that up; the last one ends the address space, whoever it is.", kCpu | kProbe),
      process_verb("mmgrab", "Holds the address space's structure, not its memory.", kCpu),
      process_verb("mmdrop", "Gives the structure back.", kCpu | kProbe),
      {"mmap_lock",
       "Takes the mmap_lock of a process.",
       kCpu | kProbe,
       false,
       {{{"process", Shape::process, true, "Whose."}, &Step::name},
        {{"write", Shape::flag, false, "For writing; for reading if absent."}, &Step::count_up}},
       "process"},
      process_verb("mmap_unlock", "Gives the mmap_lock of a process back.", kCpu | kProbe),
      {"unload",
       "The device's contexts of this process leave the hardware; the next access brings them back.",
       kCpu,
       true,
       {{{"device", Shape::device, true, "Which device."}, &Step::name}},
       "device"},
      {"zap", "Drops the translations in the callback's range; in release: all.", kProbe, false, {}},
      {"refuse", "Answers EAGAIN (v4.19 on).", kProbe, false, {}},
      {"young", "Answers that a page was accessed.", kProbe, false, {}},
      {"ignore", "Does nothing.", kProbe, false, {}},
      {"lock",
       "Takes a lock of the driver's.",
       kProbe,
       false,
       {{{"name", Shape::lock, true, "Its name."}, &Step::name},
        {{"kind", Shape::lock_kind, false, "mutex or spinlock; mutex if absent."}, &Step::lock_kind}},
       "name"},
      {"unlock",
       "Gives a lock back.",
       kProbe,
       false,
       {{{"name", Shape::lock, true, "Its name."}, &Step::name}},
       "name"},
      {"unregister", "Gives its own subscription to this address space up.", kProbe, false, {}},
      {"unregister_no_release",
       "Leaves the list: no release, no wait for callbacks (v3.17 to v5.3).",
       kProbe,
       false,
       {}},
      {"free", "Frees its own subscription's memory.", kProbe, false, {}},
      {"free_later",
       "Has that freed after a grace period: of the notifiers (v3.17 to v5.3), of RCU before.",
       kProbe,
       false,
       {}},
      {"open_range", "Counts one more range as open: fills wait.", kProbe, false, {}},
      {"close_range", "Counts one range less, and wakes the fills that wait.", kProbe, false, {}},
      {"set_sequence", "In invalidate: stores the sequence, so that readers begin again.", kProbe, false, {}},
  };
}

}  // namespace

bool Verb::bare() const {
  return std::none_of(arguments.begin(), arguments.end(), [](const Argument& a) { return a.key.required; });
}

const Argument* Verb::find(std::string_view argument) const {
  for (const Argument& candidate : arguments)
    if (candidate.key.name == argument) return &candidate;
  return nullptr;
}

const std::vector<Verb>& verbs() {
  static const std::vector<Verb> table = make_verbs();
  return table;
}

const Verb* find_verb(std::string_view name, User user) {
  for (const Verb& verb : verbs())
    if (verb.name == name && verb.may(user)) return &verb;
  return nullptr;
}

std::vector<std::string> verb_names(User user) {
  std::vector<std::string> names;
  for (const Verb& verb : verbs())
    if (verb.may(user)) names.emplace_back(verb.name);
  return names;
}

std::vector<std::string> argument_names(const Verb& verb) {
  std::vector<std::string> names;
  for (const Argument& argument : verb.arguments) names.emplace_back(argument.key.name);
  return names;
}

std::string_view to_text(User user) {
  switch (user) {
    case User::cpu:
      return "a CPU program";
    case User::device:
      return "a device program";
    case User::probe:
      return "a probe's script";
  }
  return "";
}

std::vector<std::string> users_of(std::string_view verb) {
  std::vector<std::string> users;
  for (const User user : {User::cpu, User::device, User::probe})
    if (find_verb(verb, user) != nullptr) users.emplace_back(to_text(user));
  return users;
}

bool may_use_modifier(User user, std::string_view modifier) {
  return user != User::probe || modifier == "times" || modifier == "result";
}

}  // namespace secmmu::language
