// move_pages: a process says on which memory node its pages shall be.
#include <utility>

#include "models/mm/entries.hpp"
#include "models/mm/huge.hpp"
#include "models/mm/migrate.hpp"

namespace secmmu {

namespace {

constexpr Errno kMigrate = Errno::eintr;  // no answer of a page: it has been isolated, to be moved

// One page: what there is to say of it at once, or kMigrate. page_table_lock is held.
Errno look_at(Mm& mm, Vpn page, unsigned node, bool shared_too, std::vector<Pfn>& isolated) {
  MmSystem& system = mm.system;
  PhysicalMemory& memory = system.memory;
  const Vma vma = mm.vma_at(page);
  announce_read(mm, page);
  const Pte entry = mm.table.read(page);
  if (entry.none()) return vma.attributes.object == nullptr ? Errno::efault : Errno::enoent;
  if (!entry.maps()) return Errno::enoent;
  if (memory.frame(entry.frame()).use == FrameUse::zero) return Errno::efault;
  if (memory.node_of(entry.frame()) == node) return Errno::ok;
  if (memory.mappings(entry.frame()) > 1 && !shared_too) return Errno::eacces;
  if (!isolate_page(system, entry.frame())) return Errno::ebusy;
  isolated.push_back(memory.head(entry.frame()));
  return kMigrate;
}

// Where huge pages do not move whole, those that are looked at are split.
void split_if_huge(Mm& mm, Vpn page) {
  MmSystem& system = mm.system;
  announce_read(mm, page);
  const Pte entry = mm.table.read(page);
  if (!entry.maps() || !system.memory.frame(entry.frame()).folio || entry.frame() == system.huge_zero_page_if_any())
    return;
  system.memory.get(entry.frame());
  split_huge_page(system, entry.frame());
  system.memory.put(entry.frame());
}

class Call {
 public:
  Call(Mm& mm, unsigned node, bool shared_too) : mm_(mm), node_(node), shared_too_(shared_too) {}

  // False: some of those that were to be moved could not be, and the call ends.
  bool page(Vpn page) {
    const bool lock = !mm_.system.behaviour.move_pages_locks;
    if (lock) lock_for_reading(mm_);
    Errno answer = Errno::efault;
    if (!mm_.vma_at(page).pages.empty()) {
      if (!mm_.system.behaviour.huge_migration) split_if_huge(mm_, page);
      mm_.page_table_lock.lock();
      answer = look_at(mm_, page, node_, shared_too_, isolated_);
      mm_.page_table_lock.unlock();
    }
    if (lock) unlock_for_reading(mm_);
    answers_.push_back(answer);
    return answer == kMigrate || !lock || migrate();
  }

  bool migrate() {
    const std::vector<Pfn> pages = std::exchange(isolated_, {});
    if (pages.empty()) return true;
    const std::vector<Errno> moved = migrate_pages(mm_.system, pages, node_);
    bool all = true;
    auto one = moved.begin();
    for (Errno& answer : answers_) {
      if (answer != kMigrate) continue;
      answer = *one++;
      all &= answer == Errno::ok;
    }
    for (const Pfn frame : pages) put_isolated(mm_.system, frame);
    return all;
  }

  const std::vector<Errno>& answers() const { return answers_; }

 private:
  Mm& mm_;
  unsigned node_;
  bool shared_too_;
  std::vector<Pfn> isolated_;
  std::vector<Errno> answers_;
};

}  // namespace

// Rule: pages are collected until one comes that need not or cannot be moved; then those are moved. A page that could
// not be ends the call, and nothing is known of the rest.
Errno move_pages(Mm& mm, PageRange range, unsigned node, bool shared_too, std::vector<Errno>* status) {
  return system_call(mm, "move_pages", range, [&] {
    if (!is_user_range(range)) return Errno::efault;
    if (node >= mm.system.memory.nodes()) return Errno::enodev;
    const bool locks = mm.system.behaviour.move_pages_locks;
    Call call(mm, node, shared_too);
    if (locks) lock_for_reading(mm);
    bool more = true;
    for (Vpn page = range.first; more && page < range.end; page = page + 1) more = call.page(page);
    if (more) call.migrate();
    if (locks) unlock_for_reading(mm);
    if (status != nullptr) *status = call.answers();
    return Errno::ok;
  });
}

}  // namespace secmmu
