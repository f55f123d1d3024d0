// The border between C++ and C: what is thrown becomes a status, what is returned gets an owner. Internal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#include "columns.hpp"
#include "tal/tal.h"

// A result of any type, behind the one name that C knows.
struct tal_owner {
  tal_owner() = default;
  tal_owner(const tal_owner&) = delete;
  tal_owner& operator=(const tal_owner&) = delete;
  virtual ~tal_owner() = default;
};

namespace tal::detail {

template <class T>
struct Held final : tal_owner {
  explicit Held(T v) : value(std::move(v)) {}
  T value;
};

// Fixed room: a message about too little memory must not need any.
inline char* last_error() {
  thread_local char words[501] = "";
  return words;
}

inline tal_status fail(tal_status status, const char* words) {
  std::snprintf(last_error(), 501, "%s", words);
  return status;
}

// Runs `work`, which returns a C++ result, and lets `show` point the columns of *out into it.
template <class Out, class Work, class Show>
tal_status guarded(Out* out, Work work, Show show) noexcept {
  if (out == nullptr) return fail(TAL_INVALID, "out is null");
  *out = Out{};
  try {
    using Result = decltype(work());
    auto held = std::make_unique<Held<Result>>(work());
    show(held->value, *out);
    out->owner = held.release();
    return TAL_OK;
  } catch (const std::invalid_argument& e) {
    return fail(TAL_INVALID, e.what());
  } catch (const std::bad_alloc&) {
    return fail(TAL_NO_MEMORY, "out of memory");
  } catch (const std::length_error&) {
    return fail(TAL_NO_MEMORY, "a result of this size cannot exist");
  } catch (const std::exception& e) {
    return fail(TAL_FAILED, e.what());
  } catch (...) {
    return fail(TAL_FAILED, "unknown fault");
  }
}

inline void need(const void* pointer, const char* name) {
  if (pointer == nullptr) refuse(std::string(name) + " is null");
}

// A column may be null only where it has no rows.
inline void need_column(const void* column, std::size_t size, const char* name) {
  if (column == nullptr && size > 0) refuse(std::string(name) + " is null, needs " + std::to_string(size) + " values");
}

inline bool flag(std::int32_t value, const char* name) {
  if (value != 0 && value != 1) refuse(std::string(name) + " is " + std::to_string(value) + ", must be 0 or 1");
  return value == 1;
}

template <class Enum>
Enum choice(std::int32_t value, Enum last, const char* name) {
  const auto most = static_cast<std::int32_t>(last);
  if (value < 0 || value > most) {
    refuse(std::string(name) + " is " + std::to_string(value) + ", must be in 0.." + std::to_string(most));
  }
  return static_cast<Enum>(value);
}

// Number of rows that offsets speak of.
inline std::size_t check_offsets(const std::int64_t* offsets, std::size_t videos) {
  need(offsets, "offsets");
  if (offsets[0] != 0) refuse("offsets start at " + std::to_string(offsets[0]) + ", must start at 0");
  for (std::size_t v = 0; v < videos; ++v) {
    if (offsets[v + 1] < offsets[v]) refuse("offsets fall at video " + std::to_string(v));
  }
  return static_cast<std::size_t>(offsets[videos]);
}

}  // namespace tal::detail
