#include "db/detail/entry.hpp"

namespace pam::db::detail {

template <time_point entry::* Key, std::size_t entry::* Index>
void entry_heap<Key, Index>::push(entry& item) {
  items_.push_back(&item);
  item.*Index = items_.size() - 1;
  rise(item.*Index);
}

template <time_point entry::* Key, std::size_t entry::* Index>
void entry_heap<Key, Index>::remove(entry& item) {
  const std::size_t index = item.*Index;
  entry* last = items_.back();
  items_.pop_back();
  if (last == &item) return;
  place_at(index, last);
  rise(index);
  sink(last->*Index);
}

template <time_point entry::* Key, std::size_t entry::* Index>
void entry_heap<Key, Index>::rise(std::size_t index) {
  entry* item = items_[index];
  while (index > 0) {
    const std::size_t parent = (index - 1) / 2;
    if (items_[parent]->*Key <= item->*Key) break;
    place_at(index, items_[parent]);
    index = parent;
  }
  place_at(index, item);
}

template <time_point entry::* Key, std::size_t entry::* Index>
void entry_heap<Key, Index>::sink(std::size_t index) {
  entry* item = items_[index];
  while (true) {
    std::size_t child = 2 * index + 1;
    if (child >= items_.size()) break;
    if (child + 1 < items_.size() && items_[child + 1]->*Key < items_[child]->*Key) ++child;
    if (item->*Key <= items_[child]->*Key) break;
    place_at(index, items_[child]);
    index = child;
  }
  place_at(index, item);
}

template class entry_heap<&entry::deadline, &entry::deadline_index>;
template class entry_heap<&entry::not_before, &entry::waiting_index>;

}  // namespace pam::db::detail
