// Runs independent pieces of work on a few threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace tal {

// How many threads work on `count` pieces where `threads` (0: one a core) are allowed.
inline std::size_t team_of(std::size_t count, int threads) {
  // Asking for the number of cores reads a file: not where a caller said how many, nor for one piece.
  const std::size_t team = std::min<std::size_t>(count, threads > 0 ? static_cast<std::size_t>(threads) : count);
  if (threads > 0 || team <= 1) return team;
  return std::min<std::size_t>(team, std::max(1u, std::thread::hardware_concurrency()));
}

// Calls work(i) for every i in [0, count), on up to `threads` threads (0: one a core). Pieces are
// handed out one by one, so uneven ones balance. The first exception is thrown again here, after
// all threads have stopped. Where the system gives no more threads, those that there are do it all.
template <class Work>
void for_each_index(std::size_t count, int threads, Work work) {
  const std::size_t team = team_of(count, threads);
  if (team <= 1) {
    for (std::size_t i = 0; i < count; ++i) work(i);
    return;
  }
  std::atomic<std::size_t> next{0};
  std::exception_ptr failed;
  std::mutex guard;
  const auto run = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(guard);
        if (!failed) failed = std::current_exception();
        next = count;
      }
    }
  };
#if defined(TAL_CALLER_WAITS)
  constexpr std::size_t caller = 0;  // its processor time is then what threads do not share: benchmarks/core_share.py
#else
  constexpr std::size_t caller = 1;
#endif
  std::vector<std::thread> others;
  try {
    for (std::size_t t = caller; t < team; ++t) others.emplace_back(run);
  } catch (const std::exception&) {
    // A thread that is left running while its handle goes would end the program.
  }
  if (caller == 1 || others.empty()) run();
  for (std::thread& t : others) t.join();
  if (failed) std::rethrow_exception(failed);
}

// Calls work(first, last) for runs that make up [0, count), each of about `least` or more: less is not worth a thread.
template <class Work>
void for_each_run(std::size_t count, std::size_t least, int threads, Work work) {
  const std::size_t runs = std::max<std::size_t>(1, count / least);
  for_each_index(runs, threads, [&](std::size_t r) { work(count * r / runs, count * (r + 1) / runs); });
}

// Calls work(part, first, last) for `parts` runs that make up [0, count), all at once where threads allow.
template <class Work>
void for_each_part(std::size_t count, std::size_t parts, int threads, Work work) {
  for_each_index(parts, threads, [&](std::size_t p) { work(p, count * p / parts, count * (p + 1) / parts); });
}

}  // namespace tal
