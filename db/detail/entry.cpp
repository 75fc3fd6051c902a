#include "db/detail/entry.hpp"

namespace pam::db::detail {

void deadline_heap::push(entry& item) {
  items_.push_back(&item);
  item.heap_index = items_.size() - 1;
  rise(item.heap_index);
}

void deadline_heap::remove(entry& item) {
  const std::size_t index = item.heap_index;
  entry* last = items_.back();
  items_.pop_back();
  if (last == &item) return;
  place_at(index, last);
  rise(index);
  sink(last->heap_index);
}

void deadline_heap::rise(std::size_t index) {
  entry* item = items_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (items_[parent]->deadline <= item->deadline) break;
    place_at(index, items_[parent]);
    index = parent;
  }
  place_at(index, item);
}

void deadline_heap::sink(std::size_t index) {
  entry* item = items_[index];
  while (true) {
    std::size_t child = 2 * index + 1;
    if (child >= items_.size()) break;
    if (child + 1 < items_.size() && items_[child + 1]->deadline < items_[child]->deadline) ++child;
    if (item->deadline <= items_[child]->deadline) break;
    place_at(index, items_[child]);
    index = child;
  }
  place_at(index, item);
}

}  // namespace pam::db::detail
