#include "models/mm/reclaim_lists.hpp"

namespace secmmu {

void ReclaimLists::put_first(ReclaimList list, Pfn page, std::uint64_t pages) {
  take_off(page);
  Node& node = nodes_[page.value];
  node.list = list;
  node.pages = static_cast<std::uint32_t>(pages);
  const auto number = static_cast<std::size_t>(list);
  lists_[number].push_front(node);
  pages_[number] += pages;
}

void ReclaimLists::take_off(Pfn page) {
  Node& node = nodes_[page.value];
  if (node.pages == 0) return;
  const auto number = static_cast<std::size_t>(node.list);
  lists_[number].erase(lists_[number].iterator_to(node));
  pages_[number] -= node.pages;
  node.pages = 0;
}

Pfn ReclaimLists::last(ReclaimList list) const {
  const auto& all = lists_[static_cast<std::size_t>(list)];
  return all.empty() ? kNoPfn : Pfn{static_cast<std::uint64_t>(&all.back() - nodes_.data())};
}

void ReclaimLists::clear() {
  for (auto& list : lists_) list.clear();
  for (Node& node : nodes_) node.pages = 0;
  pages_ = {};
}

}  // namespace secmmu
