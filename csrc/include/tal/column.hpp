// Vectors for large columns: what `resize` adds is left as it is, for who fills it next, and the system is asked for
// large pages where there is room for them. Both matter to threads: a first touch of memory is work of the system,
// and one thread that fills a column with zeros does it for all.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace tal {

namespace detail {

// Asks for large pages in [memory, memory + bytes); where there are none this does nothing.
void want_large_pages(void* memory, std::size_t bytes) noexcept;

// Less than this has no room for a large page at a place that it may begin at.
constexpr std::size_t kLargePages = std::size_t{4} << 20;

}  // namespace detail

template <class T>
struct ColumnAllocator {
  using value_type = T;

  ColumnAllocator() = default;
  template <class U>
  ColumnAllocator(const ColumnAllocator<U>&) noexcept {}

  T* allocate(std::size_t n) {
    T* memory = std::allocator<T>().allocate(n);
    if (n * sizeof(T) >= detail::kLargePages) detail::want_large_pages(memory, n * sizeof(T));
    return memory;
  }

  void deallocate(T* memory, std::size_t n) noexcept { std::allocator<T>().deallocate(memory, n); }

  // Without a value: as it is.
  template <class U>
  void construct(U* place) noexcept {
    ::new (static_cast<void*>(place)) U;
  }

  template <class U, class... Values>
  void construct(U* place, Values&&... values) {
    ::new (static_cast<void*>(place)) U(std::forward<Values>(values)...);
  }

  friend bool operator==(const ColumnAllocator&, const ColumnAllocator&) noexcept { return true; }
  friend bool operator!=(const ColumnAllocator&, const ColumnAllocator&) noexcept { return false; }
};

template <class T>
using Column = std::vector<T, ColumnAllocator<T>>;

}  // namespace tal
