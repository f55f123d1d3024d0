// Labelled intervals of a data set, out of bytes.
#pragma once

#include "bytes.hpp"

namespace fuzz {

struct Labelled {
  Labelled(Bytes& in, std::size_t most)
      : n(in.up_to(most)), video(in.ids<std::int32_t>(n, 2)), label(in.ids<std::int32_t>(n, 2)), start(in.reals(n)),
        end(in.reals(n)), score(in.reals(n)) {
    order(start, end, in);
    if (in.coin()) rank = in.ids<std::int64_t>(n, 9);
    if (in.coin()) ignorable = in.ids<std::uint8_t>(n, 1);
  }

  tal_truth truth() const { return {video.data(), label.data(), start.data(), end.data(), n}; }

  tal_predictions predictions() const {
    return {video.data(), label.data(), start.data(), end.data(), score.data(), rank.empty() ? nullptr : rank.data(),
            ignorable.empty() ? nullptr : ignorable.data(), n};
  }

  std::size_t n;
  std::vector<std::int32_t> video, label;
  std::vector<double> start, end, score;
  std::vector<std::int64_t> rank;
  std::vector<std::uint8_t> ignorable;
};

}  // namespace fuzz
