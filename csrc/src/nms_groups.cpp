#include "nms_groups.hpp"

#include <algorithm>
#include <numeric>

#include "columns.hpp"
#include "tal/parallel.hpp"

namespace tal::detail {
namespace {

// Fewer of a video's intervals than this are not worth a second thread to put them in order.
constexpr std::size_t kPiece = 8192;

class Splitter {
 public:
  Splitter(const std::int32_t* label, std::int64_t* rows) : label_(label), rows_(rows) {}

  std::vector<Group> run(const Group& video) {
    sort_by_label(video);
    std::vector<Group> out;
    for (std::size_t i = video.first; i < video.last;) {
      std::size_t j = i + 1;
      while (j < video.last && label_[rows_[j]] == label_[rows_[i]]) ++j;
      out.push_back({video.video, i, j});
      i = j;
    }
    return out;
  }

 private:
  // Stable. By counting, unless labels are few and far apart.
  void sort_by_label(const Group& video) {
    const auto by_label = [&](std::int64_t a, std::int64_t b) { return label_[a] < label_[b]; };
    const auto [least, most] = std::minmax_element(label_ + video.first, label_ + video.last);
    const std::int64_t low = *least;
    const auto range = static_cast<std::uint64_t>(*most - low) + 1;
    if (range > 256 + 2 * (video.last - video.first)) {
      return std::stable_sort(rows_ + video.first, rows_ + video.last, by_label);
    }
    if (range == 1) return;
    std::vector<std::size_t> places(range + 1, video.first);
    for (std::size_t i = video.first; i < video.last; ++i) ++places[static_cast<std::size_t>(label_[i] - low) + 1];
    for (std::size_t c = 1; c < places.size(); ++c) places[c] += places[c - 1] - video.first;
    for (std::size_t i = video.first; i < video.last; ++i) {
      rows_[places[static_cast<std::size_t>(label_[i] - low)]++] = static_cast<std::int64_t>(i);
    }
  }

  const std::int32_t* label_;
  std::int64_t* rows_;
};

// A share of a video's result: the part-th best of so many parts.
struct Piece {
  std::size_t video;
  std::size_t part;
  std::size_t parts;
};

class Merger {
 public:
  Merger(const IntervalBatch& in, const Groups& groups, Column<Taken>& taken, Kept& kept)
      : in_(in), groups_(groups), taken_(taken), kept_(kept) {}

  void run(const Piece& piece) const {
    const std::size_t first = groups_.of_video[piece.video];
    const std::size_t last = groups_.of_video[piece.video + 1];
    if (last - first == 1) {
      const Group& g = groups_.list[first];
      const Taken* mine = taken_.data() + g.first;
      // A group comes out in order, but for scores that rounding swapped or made equal.
      const auto wrong = [&](const Taken& a, const Taken& b) { return a.score <= b.score && !before(item(a), item(b)); };
      if (std::adjacent_find(mine, mine + g.taken, wrong) == mine + g.taken) return put(piece, 0, mine, g.taken, nullptr);
      return put_sorted(piece, 0, mine, g.taken);
    }
    const std::vector<double> cuts = cuts_of(piece, first, last);
    Column<Taken> mine;
    std::size_t ahead = 0;
    for_taken(first, last, [&](const Taken& t) {
      // Equal scores are of one part, whatever rounding did to them.
      const bool above = piece.part > 0 && t.score > cuts[piece.part - 1];
      const bool below = piece.part + 1 < piece.parts && t.score <= cuts[piece.part];
      if (above) ++ahead;
      if (!above && !below) mine.push_back(t);
    });
    put_sorted(piece, ahead, mine.data(), mine.size());
  }

 private:
  Item item(const Taken& t) const {
    const std::size_t row = static_cast<std::size_t>(t.index) * in_.stride;
    return {in_.start[row], in_.end[row], t.score, t.index};
  }

  template <class Visit>
  void for_taken(std::size_t first, std::size_t last, Visit visit) const {
    for (std::size_t g = first; g < last; ++g) {
      const Taken* t = taken_.data() + groups_.list[g].first;
      for (std::size_t i = 0; i < groups_.list[g].taken; ++i) visit(t[i]);
    }
  }

  // Scores between the parts, falling: those of a sample.
  std::vector<double> cuts_of(const Piece& piece, std::size_t first, std::size_t last) const {
    if (piece.parts == 1) return {};
    constexpr std::size_t every = 61;
    std::vector<double> sample;
    std::size_t i = 0;
    for_taken(first, last, [&](const Taken& t) {
      if (i++ % every == 0) sample.push_back(t.score);
    });
    std::sort(sample.begin(), sample.end(), std::greater<>());
    std::vector<double> cuts;
    for (std::size_t p = 1; p < piece.parts; ++p) cuts.push_back(sample[p * sample.size() / piece.parts]);
    return cuts;
  }

  void put_sorted(const Piece& piece, std::size_t ahead, const Taken* mine, std::size_t n) const {
    std::vector<std::uint32_t> rows(n);
    std::iota(rows.begin(), rows.end(), 0U);
    std::vector<double> score(n);
    std::transform(mine, mine + n, score.begin(), [](const Taken& t) { return t.score; });
    sort_rows(rows, score.data(), [&](auto a, auto b) { return before(item(mine[a]), item(mine[b])); });
    put(piece, ahead, mine, n, rows.data());
  }

  // Writes those that are `ahead` of none or some of the video's, as far as top_k has room for them.
  void put(const Piece& piece, std::size_t ahead, const Taken* mine, std::size_t n, const std::uint32_t* order) const {
    const auto base = static_cast<std::size_t>(kept_.offsets[piece.video]);
    const std::size_t room = static_cast<std::size_t>(kept_.offsets[piece.video + 1]) - base;
    for (std::size_t i = 0; i < n && ahead + i < room; ++i) {
      const Taken& t = mine[order == nullptr ? i : order[i]];
      kept_.index[base + ahead + i] = t.index;
      kept_.score[base + ahead + i] = t.score;
    }
  }

  const IntervalBatch& in_;
  const Groups& groups_;
  Column<Taken>& taken_;
  Kept& kept_;
};

}  // namespace

Groups::Groups(const IntervalBatch& in, bool class_agnostic, int threads)
    : rows(static_cast<std::size_t>(in.offsets[in.videos])), of_video(in.videos + 1, 0) {
  std::vector<std::vector<Group>> lists(in.videos);
  for_each_index(in.videos, threads, [&](std::size_t v) {
    const Group video{v, static_cast<std::size_t>(in.offsets[v]), static_cast<std::size_t>(in.offsets[v + 1])};
    if (video.first == video.last) return;
    for (std::size_t i = video.first; i < video.last; ++i) rows[i] = static_cast<std::int64_t>(i);
    if (class_agnostic || in.label == nullptr) {
      lists[v].push_back(video);
    } else {
      lists[v] = Splitter(in.label, rows.data()).run(video);
    }
  });
  for (std::size_t v = 0; v < in.videos; ++v) of_video[v + 1] = of_video[v] + lists[v].size();
  list.reserve(of_video.back());
  for (const auto& groups : lists) list.insert(list.end(), groups.begin(), groups.end());
}

Kept merge(const IntervalBatch& in, const Groups& groups, Column<Taken>& taken, std::int64_t top_k, int threads) {
  Kept kept;
  std::vector<Piece> pieces;
  kept.offsets.assign(in.videos + 1, 0);
  for (std::size_t v = 0; v < in.videos; ++v) {
    std::size_t total = 0;
    for (std::size_t g = groups.of_video[v]; g < groups.of_video[v + 1]; ++g) total += groups.list[g].taken;
    const bool several = groups.of_video[v + 1] - groups.of_video[v] > 1;
    const std::size_t parts = several ? std::max<std::size_t>(1, team_of(total / kPiece, threads)) : 1;
    for (std::size_t p = 0; p < parts && total > 0; ++p) pieces.push_back({v, p, parts});
    const auto all = static_cast<std::int64_t>(total);
    kept.offsets[v + 1] = kept.offsets[v] + (top_k > 0 ? std::min(all, top_k) : all);
  }
  kept.index.resize(static_cast<std::size_t>(kept.offsets.back()));
  kept.score.resize(kept.index.size());
  const Merger merger(in, groups, taken, kept);
  for_each_index(pieces.size(), threads, [&](std::size_t i) { merger.run(pieces[i]); });
  return kept;
}

}  // namespace tal::detail
