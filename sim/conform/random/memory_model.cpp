#include "sim/conform/random/memory_model.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "sim/conform/translation.hpp"

namespace secmmu::conform {
namespace {

constexpr std::uint8_t byte_of(std::uint64_t value) { return static_cast<std::uint8_t>(value & 0xff); }

std::string wrong(const Operation& operation, std::string_view why) {
  return fmt::format("{}: {}", operation.text, why);
}

std::string text_of(const Content& content) {
  if (content.values.all()) return "any byte";
  std::string text;
  for (unsigned value = 0; value < 256; ++value)
    if (content.allows(static_cast<std::uint8_t>(value)))
      text += fmt::format("{}{}", text.empty() ? "" : " or ", value);
  return text;
}

}  // namespace

Content Content::of(std::uint64_t value) {
  Content content;
  content.values.set(byte_of(value));
  return content;
}

Content Content::any() {
  Content content;
  content.values.set();
  return content;
}

MemoryModel::MemoryModel() { processes_.emplace_back(); }

// Accesses (cr, cw, dr, dw, kr, kw) are told one by one; all else is here.
const std::map<std::string_view, MemoryModel::Effect>& MemoryModel::effects() {
  using M = MemoryModel;
  static const std::map<std::string_view, Effect> table = {
      {"anon", &M::anon},
      {"shared", &M::shared},
      {"file", &M::file},
      {"filepriv", &M::filepriv},
      {"watch", &M::nothing},
      {"unregister", &M::nothing},
      {"device", &M::nothing},
      {"fork", &M::make_child},
      {"child_exit", &M::end_child},
      {"exit", &M::end},
      {"mrelease", &M::end_by_helper},
      {"munmap", &M::unmap},
      {"mprotect", &M::protect},
      {"mmap_fixed", &M::map_over},
      {"dontneed", &M::dontneed},
      {"free", &M::lazyfree},
      {"cold", &M::only_marks},
      {"pageout", &M::only_marks},
      {"msync", &M::only_marks},
      {"populate_read", &M::nothing},
      {"populate_write", &M::touch_to_write},
      {"remove", &M::remove},
      {"punch", &M::punch},
      {"truncate", &M::truncate},
      {"pwrite", &M::write_file},
      {"mergeable", &M::nothing},
      {"unmergeable", &M::nothing},
      {"ksm", &M::nothing},
      {"hugepage", &M::nothing},
      {"nohugepage", &M::nothing},
      {"collapse", &M::nothing},
      {"khugepaged", &M::nothing},
      {"move", &M::nothing},
      {"soft_offline", &M::nothing},
      {"clear_refs", &M::nothing},
      {"idle", &M::nothing},
      {"isidle", &M::nothing},
      {"dontfork", &M::dontfork},
      {"wipeonfork", &M::wipeonfork},
      {"mlock", &M::lock},
      {"munlock", &M::unlock},
      {"uffd", &M::nothing},
      {"wp", &M::write_protect},
      {"unwp", &M::write_allow},
      {"mremap_to", &M::move_to},
      {"mremap_onto", &M::move_onto},
      {"mremap_size", &M::resize},
  };
  return table;
}

bool MemoryModel::knows(std::string_view operation) {
  static constexpr std::string_view kAccesses[] = {"cr", "cw", "dr", "dw", "kr", "kw"};
  return effects().contains(operation) ||
         std::find(std::begin(kAccesses), std::end(kAccesses), operation) != std::end(kAccesses);
}

std::string MemoryModel::done(const Operation& operation, std::string_view result, const Places& places) {
  const auto effect = effects().find(operation.name);
  if (effect == effects().end()) return "";
  // What would have made the buffer failed.
  const std::vector<Argument>& arguments = find_operation(operation.name)->arguments;
  const bool on_pages = std::any_of(arguments.begin(), arguments.end(), [](const Argument& argument) {
    return argument.form == Form::pages || argument.form == Form::first;
  });
  if (on_pages && !places.contains(operation.buffer)) return "";
  if (main().ended && find_operation(operation.name)->player == Player::process) return "";
  places_ = &places;
  return (this->*effect->second)(operation, result == "ok");
}

void MemoryModel::mapped_beside(std::uint64_t first, std::uint64_t pages) {
  for (std::uint64_t i = 0; i < pages; ++i) main().pages[first + i] = Page{};
}

void MemoryModel::assume(const Operation& operation) {
  Places places;
  for (const Buffer& known : buffers_) places[known.name] = known.at;
  for (const std::string* name : {&operation.buffer, &operation.target})
    if (!name->empty() && !places.contains(*name)) places[*name] = (buffers_.size() + 1) << 20;
  done(operation, "ok", places);
}

std::uint64_t MemoryModel::place_of(const std::string& name) const {
  const auto place = places_->find(name);
  return place == places_->end() ? 0 : place->second;
}

void MemoryModel::erase(Pages& pages, std::uint64_t first, std::uint64_t count) {
  pages.erase(pages.lower_bound(first), pages.lower_bound(first + count));
}

// --- accesses ---

const MemoryModel::Process* MemoryModel::process(std::string_view name) const {
  if (name == kProcess) return &processes_.front();
  for (std::size_t child = 1; child < processes_.size(); ++child)
    if (name == fmt::format("child{}", child)) return &processes_[child];
  return nullptr;
}
MemoryModel::Process* MemoryModel::process(std::string_view name) {
  return const_cast<Process*>(std::as_const(*this).process(name));
}

const MemoryModel::Page* MemoryModel::find(const Access& access) const {
  const Process* who = process(access.process);
  if (who == nullptr || who->ended) return nullptr;
  const auto page = who->pages.find(access.at);
  return page == who->pages.end() ? nullptr : &page->second;
}

bool MemoryModel::allowed(const Page& page, bool write) {
  if (page.right == Right::none || (write && page.right != Right::rw)) return false;
  return page.own || page.object == nullptr || page.index < page.object->size;
}

Content MemoryModel::content(const Page& page) {
  if (page.own) return *page.own;
  return page.object == nullptr ? Content::of(0) : page.object->pages.at(page.index);
}

void MemoryModel::set(Page& page, Content content) {
  if (page.shared)
    page.object->pages.at(page.index) = content;
  else
    page.own = content;
}

std::string MemoryModel::accessed(const Access& access) {
  const auto page = const_cast<Page*>(find(access));
  const std::string what = fmt::format("{} {} page {} of {}", access.device.empty() ? access.process : access.device,
                                       access.write ? "writes" : "reads", access.page, access.buffer);
  if (page == nullptr || !allowed(*page, access.write)) {
    if (access.result == "ok") return fmt::format("{}: it gets {}, expected a fault", what, byte_of(access.value));
    // A driver that mirrors tells apart what may only be read.
    const bool only_read = page != nullptr && access.write && page->right == Right::r;
    const bool ended = process(access.process) == nullptr || process(access.process)->ended;
    const std::string_view error = access.result;
    const bool right = access.device.empty() ? error == "SIGSEGV" || error == "SIGBUS" || (ended && error == "ESRCH")
                                             : error == "EFAULT" || (only_read && error == "EPERM") || error == "ESRCH";
    return right ? "" : fmt::format("{}: it ends with {}, expected a fault", what, error);
  }
  if (access.result != "ok")
    return fmt::format("{}: it ends with {}, expected {}", what, access.result,
                       access.write ? "that it may" : text_of(content(*page)));
  if (access.write) {
    set(*page, Content::of(access.value));
    return "";
  }
  const Content before = content(*page);
  if (!before.allows(byte_of(access.value)))
    return fmt::format("{}: it sees {}, expected {}", what, byte_of(access.value), text_of(before));
  Content now = Content::of(access.value);
  now.may_go = before.may_go;
  if (page->shared || page->own)
    set(*page, now);
  else if (page->object != nullptr)
    page->object->pages.at(page->index) = now;
  return "";
}

std::string MemoryModel::expected(const Access& access) const {
  const Page* page = find(access);
  if (page == nullptr || !allowed(*page, access.write)) {
    if (access.device.empty()) return "SIGBUS/SEGV";
    const bool only_read = access.write && page != nullptr && page->right == Right::r;
    return access.result == "EPERM" && only_read ? "error -1" : access.result == "ESRCH" ? "error -3" : "error -14";
  }
  if (access.write) return fmt::format("{}", byte_of(access.value));
  const Content right = content(*page);
  if (access.result == "ok" && right.allows(byte_of(access.value))) return fmt::format("{}", byte_of(access.value));
  unsigned value = 0;
  while (value < 255 && !right.allows(static_cast<std::uint8_t>(value))) ++value;
  return fmt::format("{}", value);
}

// --- ranges ---

MemoryModel::Buffer& MemoryModel::buffer(const std::string& name) {
  const auto found =
      std::find_if(buffers_.begin(), buffers_.end(), [&](const Buffer& one) { return one.name == name; });
  if (found != buffers_.end()) return *found;
  buffers_.push_back({name});
  return buffers_.back();
}

template <class Visit>
void MemoryModel::each(const Operation& operation, Visit visit) {
  const std::uint64_t first = buffer(operation.buffer).at + operation.first;
  Pages& pages = main().pages;
  for (auto page = pages.lower_bound(first); page != pages.end() && page->first < first + operation.pages; ++page)
    visit(page->second);
}

template <class Test>
bool MemoryModel::all(const Operation& operation, Test test) const {
  const auto on =
      std::find_if(buffers_.begin(), buffers_.end(), [&](const Buffer& one) { return one.name == operation.buffer; });
  if (on == buffers_.end()) return true;
  const std::uint64_t first = on->at + operation.first;
  const Pages& pages = processes_.front().pages;
  for (auto page = pages.lower_bound(first); page != pages.end() && page->first < first + operation.pages; ++page)
    if (!test(page->second)) return false;
  return true;
}

bool MemoryModel::has_hole(const Operation& operation) const {
  std::uint64_t mapped = 0;
  all(operation, [&](const Page&) { return ++mapped > 0; });
  return mapped < operation.pages;
}

bool MemoryModel::ended() const { return processes_.front().ended; }

std::string MemoryModel::child() const {
  if (processes_.size() < 2 || processes_.back().ended) return "";
  return fmt::format("child{}", processes_.size() - 1);
}

bool MemoryModel::sensible(const Operation& operation) const {
  const OperationRow& row = *find_operation(operation.name);
  if (row.player == Player::child) return !child().empty();
  if (ended()) return false;
  const std::string& name = operation.name;
  const Buffer* on = nullptr;
  for (const Buffer& one : buffers_)
    if (one.name == operation.buffer) on = &one;
  if (name == "truncate" || name == "punch" || name == "pwrite") {
    if (on == nullptr || !on->has_file || on->moved) return false;
    if (name == "pwrite") return operation.first + operation.pages <= objects_.at(operation.buffer)->size;
    return true;
  }
  const auto anonymous = [](const Page& page) { return page.object == nullptr; };
  if (name == "free" || name == "wipeonfork" || name == "dontfork" || name == "uffd" || name == "wp" || name == "unwp")
    return all(operation, anonymous);
  // Where it would fail half-way, which private pages of a file were copied is not easily said.
  if (name == "mlock" && (has_hole(operation) || !all(operation, [](const Page& page) {
                            return page.object == nullptr || page.shared || allowed(page, false);
                          })))
    return false;
  if (name == "remove") return all(operation, [](const Page& page) { return page.shared && page.right == Right::rw; });
  // Whoever writes where userfaultfd protects waits for an answer.
  if (name == "cw" || name == "dw" || name == "populate_write" || name == "mlock" || name == "unmergeable")
    return all(operation, [](const Page& page) { return !page.waits_for_write; });
  return true;
}

// --- operations ---

std::string MemoryModel::nothing(const Operation&, bool) { return ""; }

std::string MemoryModel::only_marks(const Operation& operation, bool ok) {
  if (ok && has_hole(operation)) return wrong(operation, "ok over pages that are not mapped, expected ENOMEM");
  if (!ok && !has_hole(operation) && all(operation, [](const Page& page) { return !page.locked; }))
    return wrong(operation, "an error although all pages are mapped");
  return "";
}

void MemoryModel::bring_in(const Operation& operation, bool is_private, bool file, const Content& content) {
  Buffer& made = buffer(operation.buffer);
  made.at = place_of(operation.buffer);
  made.pages = operation.pages;
  made.is_private = is_private;
  made.has_file = file;
  Page page;
  page.shared = !is_private;
  if (file) {
    page.object = std::make_shared<Object>();
    page.object->size = operation.pages;
    page.object->pages.assign(operation.pages, content);
    objects_[operation.buffer] = page.object;
  }
  for (std::uint64_t i = 0; i < operation.pages; ++i) {
    page.index = i;
    main().pages[made.at + i] = page;
  }
}

std::string MemoryModel::anon(const Operation& operation, bool ok) {
  if (ok) bring_in(operation, true, false, Content::of(0));
  return ok ? "" : wrong(operation, "an error");
}
std::string MemoryModel::shared(const Operation& operation, bool ok) {
  if (ok) bring_in(operation, false, true, Content::of(0));
  return ok ? "" : wrong(operation, "an error");
}
// What a fresh file holds is not said.
std::string MemoryModel::file(const Operation& operation, bool ok) {
  if (ok) bring_in(operation, false, true, Content::any());
  return ok ? "" : wrong(operation, "an error");
}
std::string MemoryModel::filepriv(const Operation& operation, bool ok) {
  if (ok) bring_in(operation, true, true, Content::any());
  return ok ? "" : wrong(operation, "an error");
}

std::string MemoryModel::unmap(const Operation& operation, bool ok) {
  erase(main().pages, buffer(operation.buffer).at + operation.first, operation.pages);
  return ok ? "" : wrong(operation, "an error");
}

// It stops at the first hole; what lies before has its new rights.
std::string MemoryModel::protect(const Operation& operation, bool ok) {
  const bool hole = has_hole(operation);
  const std::uint64_t first = buffer(operation.buffer).at + operation.first;
  for (std::uint64_t i = 0; i < operation.pages; ++i) {
    const auto page = main().pages.find(first + i);
    if (page == main().pages.end()) break;
    page->second.right = operation.word == "none" ? Right::none : operation.word == "r" ? Right::r : Right::rw;
  }
  if (ok == hole) return wrong(operation, ok ? "ok over a hole, expected ENOMEM" : "an error without a hole");
  return "";
}

std::string MemoryModel::map_over(const Operation& operation, bool ok) {
  if (!ok) return wrong(operation, "an error");
  Page fresh;
  fresh.right = operation.word == "r" ? Right::r : Right::rw;
  Buffer& over = buffer(operation.buffer);
  for (std::uint64_t i = 0; i < operation.pages; ++i) main().pages[over.at + operation.first + i] = fresh;
  over.moved = true;
  return "";
}

// The page's own bytes go; a file's or zero show again. Not certain: perhaps they went.
void MemoryModel::vanish(Page& page, bool certain) {
  if (page.shared || !page.own) return;
  if (certain) {
    page.own.reset();
    return;
  }
  page.own->values |= page.object == nullptr                   ? Content::of(0).values
                      : page.index < page.object->pages.size() ? page.object->pages[page.index].values
                                                               : std::bitset<256>{};
}

std::string MemoryModel::dontneed(const Operation& operation, bool ok) {
  const bool some_locked = !all(operation, [](const Page& page) { return !page.locked; });
  each(operation, [&](Page& page) { vanish(page, !some_locked); });
  return some_locked ? "" : only_marks(operation, ok);
}

std::string MemoryModel::lazyfree(const Operation& operation, bool) {
  each(operation, [](Page& page) {
    if (page.object == nullptr && page.own) page.own->may_go = true;
  });
  return "";
}

// The faults of writes, up to the first that is not allowed: private pages of files are copied, and what might have
// gone may have gone before.
std::string MemoryModel::touch_to_write(const Operation& operation, bool) {
  bool on = true;
  each(operation, [&on](Page& page) {
    on = on && allowed(page, true);
    if (!on) return;
    if (page.own && page.own->may_go) page.own->values.set(0);
    if (!page.shared && !page.own && page.object != nullptr) page.own = content(page);
  });
  return "";
}

// Bytes of the object itself: for everyone who maps it, but who has a copy of his own.
std::string MemoryModel::remove(const Operation& operation, bool ok) {
  each(operation, [&](Page& page) {
    if (!page.shared || page.index >= page.object->pages.size()) return;
    Content& there = page.object->pages[page.index];
    if (ok) there = Content::of(0);
    there.values.set(0);
  });
  return "";
}

std::string MemoryModel::punch(const Operation& operation, bool ok) {
  if (!ok) return wrong(operation, "an error");
  Object& object = *objects_.at(operation.buffer);
  for (std::uint64_t i = operation.first; i < std::min(object.size, operation.first + operation.pages); ++i)
    object.pages[i] = Content::of(0);
  return "";
}

// Copies of what is cut off go, too.
std::string MemoryModel::truncate(const Operation& operation, bool ok) {
  if (!ok) return wrong(operation, "an error");
  const std::shared_ptr<Object>& object = objects_.at(operation.buffer);
  object->size = operation.pages;
  if (object->pages.size() < object->size) object->pages.resize(object->size, Content::of(0));
  for (std::uint64_t i = object->size; i < object->pages.size(); ++i) object->pages[i] = Content::of(0);
  for (Process& one : processes_)
    for (auto& [number, page] : one.pages)
      if (page.object == object && page.index >= object->size) page.own.reset();
  return "";
}

std::string MemoryModel::write_file(const Operation& operation, bool ok) {
  if (!ok) return wrong(operation, "an error");
  Object& object = *objects_.at(operation.buffer);
  for (std::uint64_t i = 0; i < operation.pages; ++i)
    if (operation.first + i < object.pages.size()) object.pages[operation.first + i] = Content::of(operation.value + i);
  return "";
}

std::string MemoryModel::dontfork(const Operation& operation, bool) {
  each(operation, [](Page& page) { page.stays_here = true; });
  return "";
}
std::string MemoryModel::wipeonfork(const Operation& operation, bool) {
  each(operation, [](Page& page) { page.wiped_in_child = page.object == nullptr; });
  return "";
}
std::string MemoryModel::lock(const Operation& operation, bool ok) {
  each(operation, [ok](Page& page) {
    page.locked = true;
    if (ok && !page.shared && !page.own && page.object != nullptr && allowed(page, true)) page.own = content(page);
  });
  return "";
}
std::string MemoryModel::unlock(const Operation& operation, bool) {
  each(operation, [](Page& page) { page.locked = false; });
  return "";
}
std::string MemoryModel::write_protect(const Operation& operation, bool) {
  each(operation, [](Page& page) { page.waits_for_write = true; });
  return "";
}
std::string MemoryModel::write_allow(const Operation& operation, bool) {
  each(operation, [](Page& page) { page.waits_for_write = false; });
  return "";
}

// --- what moves ---

std::string MemoryModel::move_to(const Operation& operation, bool ok) {
  if (!ok) return "";  // pages of several mappings do not move together
  if (has_hole(operation)) return wrong(operation, "ok over pages that are not mapped, expected EFAULT");
  Buffer moved = buffer(operation.buffer);
  buffer(operation.buffer).moved = true;
  moved.name = operation.target;
  moved.pages = operation.pages;
  moved.moved = true;
  moved.at = place_of(operation.target);
  buffer(operation.target) = moved;
  return take_along(operation, moved.at);
}

// The pages of the range leave their place and come to the other.
std::string MemoryModel::take_along(const Operation& operation, std::uint64_t to) {
  const std::uint64_t from = buffer(operation.buffer).at + operation.first;
  std::vector<Page> pages;
  for (std::uint64_t i = 0; i < operation.pages; ++i) pages.push_back(main().pages.at(from + i));
  erase(main().pages, from, operation.pages);
  for (std::uint64_t i = 0; i < operation.pages; ++i) main().pages[to + i] = std::move(pages[i]);
  return "";
}

// What lies at the place goes first, even if nothing comes there then.
std::string MemoryModel::move_onto(const Operation& operation, bool ok) {
  if (ok && has_hole(operation)) return wrong(operation, "ok over pages that are not mapped, expected EFAULT");
  const std::uint64_t from = buffer(operation.buffer).at + operation.first;
  const std::uint64_t to = buffer(operation.target).at + operation.target_first;
  const bool overlaps = from < to + operation.pages && to < from + operation.pages;
  if (overlaps) return ok ? wrong(operation, "ok onto itself, expected EINVAL") : "";
  if (!main().pages.contains(from)) return "";
  erase(main().pages, to, operation.pages);
  buffer(operation.target).moved = true;
  if (!ok) return "";
  buffer(operation.buffer).moved = true;
  return take_along(operation, to);
}

std::string MemoryModel::resize(const Operation& operation, bool ok) {
  Buffer& sized = buffer(operation.buffer);
  Pages& pages = main().pages;
  const std::uint64_t from = sized.at;
  if (operation.pages <= sized.pages) {
    if (ok != pages.contains(from))
      return wrong(operation,
                   ok ? "ok without a first page, expected EFAULT" : "an error although its first page is there");
    if (!ok) return "";
    erase(pages, from + operation.pages, sized.pages - operation.pages);
    sized.pages = operation.pages;
    return "";
  }
  if (!ok) return "";
  Operation whole = operation;
  whole.first = 0;
  whole.pages = sized.pages;
  if (has_hole(whole)) return wrong(operation, "ok over pages that are not mapped, expected EFAULT");
  Page more = pages.at(from);
  more.own.reset();
  const std::uint64_t to = place_of(operation.buffer);  // it may have moved
  if (to != from) take_along(whole, to);
  const std::uint64_t index = more.index;
  for (std::uint64_t i = sized.pages; i < operation.pages; ++i) {
    more.index = index + i;
    pages[to + i] = more;
  }
  sized.at = to;
  sized.pages = operation.pages;
  return "";
}

// --- processes ---

std::string MemoryModel::make_child(const Operation& operation, bool ok) {
  processes_.emplace_back();
  Process& child = processes_.back();
  child.ended = !ok;
  if (!ok) return wrong(operation, "an error");
  for (const auto& [number, page] : main().pages) {
    if (page.stays_here) continue;
    Page& copy = child.pages[number] = page;
    copy.locked = copy.waits_for_write = false;
    if (page.wiped_in_child) copy.own.reset();
  }
  return "";
}

std::string MemoryModel::end_child(const Operation&, bool) {
  if (processes_.size() > 1) processes_.back().ended = true;
  return "";
}

std::string MemoryModel::end(const Operation&, bool) {
  main().ended = true;
  return "";
}

// A last child does it; what it does then is in no program.
std::string MemoryModel::end_by_helper(const Operation& operation, bool ok) {
  processes_.emplace_back().ended = true;
  return end(operation, ok);
}

}  // namespace secmmu::conform
