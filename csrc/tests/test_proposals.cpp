// Proposals against a version that stores every up-sampled point.
#include "tal/proposals.hpp"

#include <limits>

#include "check.hpp"
#include "random_data.hpp"

namespace {

using test::Dice;
using Line = std::vector<double>;

struct Video {
  std::vector<float> cas, attention;
  std::int64_t length, columns;
};

Line scaled(Line x, tal::Scale scale) {
  const double least = *std::min_element(x.begin(), x.end()), most = *std::max_element(x.begin(), x.end());
  for (double& v : x) {
    if (scale == tal::Scale::minmax) v = most > least ? (v - least) / (most - least) : 0.0;
    if (scale == tal::Scale::relu_minmax) {
      const double low = std::max(least, 0.0), range = std::max(most, 0.0) - low;
      v = std::min(std::max((v - low) / (range > 0.0 ? range : 1.0), 0.0), 1.0);
    }
  }
  return x;
}

Line upsampled(const Line& x, std::int64_t factor) {
  Line out;
  const auto n = static_cast<std::int64_t>(x.size());
  for (std::int64_t i = 0; i < n * factor; ++i) {
    const auto left = static_cast<std::size_t>(std::min(i / factor, std::max<std::int64_t>(n - 2, 0)));
    const std::size_t right = std::min(left + 1, x.size() - 1);
    const double at = static_cast<double>(i) / static_cast<double>(factor) - static_cast<double>(left);
    out.push_back(factor == 1 ? x[static_cast<std::size_t>(i)] : x[left] + (x[right] - x[left]) * at);
  }
  return out;
}

Line column(const Video& v, std::int64_t c) {
  Line x;
  for (std::int64_t t = 0; t < v.length; ++t) x.push_back(static_cast<double>(v.cas[static_cast<std::size_t>(t * v.columns + c)]));
  return x;
}

Line naive_scores(const Video& v, const tal::ProposalOptions& o) {
  const std::int64_t classes = v.columns - (o.background ? 1 : 0);
  Line p(static_cast<std::size_t>(classes), 0.0);
  if (v.length == 0) return p;
  Line logits;
  for (std::int64_t c = 0; c < v.columns; ++c) {
    Line x = column(v, c);
    std::sort(x.rbegin(), x.rend());
    const std::int64_t k = std::max<std::int64_t>(1, v.length / o.topk_ratio);
    double total = 0.0;
    for (std::int64_t i = 0; i < k; ++i) total += x[static_cast<std::size_t>(i)];
    logits.push_back(total / static_cast<double>(k));
  }
  double sum = 0.0;
  for (const double x : logits) sum += std::exp(x);
  for (std::size_t c = 0; c < p.size(); ++c) {
    p[c] = o.class_score == tal::ClassScore::softmax ? std::exp(logits[c]) / sum : 1.0 / (1.0 + std::exp(-logits[c]));
  }
  return p;
}

double mean(const Line& w, std::int64_t first, std::int64_t last) {
  double total = 0.0;
  for (std::int64_t i = first; i <= last; ++i) total += w[static_cast<std::size_t>(i)];
  return total / static_cast<double>(last - first + 1);
}

double worth(const Line& w, std::int64_t s, std::int64_t e, const tal::SourceOptions& source) {
  if (source.scoring == tal::Scoring::maximum) return *std::max_element(w.begin() + s, w.begin() + e + 1);
  const double reach = source.outer_ratio * static_cast<double>(e - s + 1);
  const auto left = static_cast<std::int64_t>(std::max(static_cast<double>(s) - reach, 0.0));
  const auto right = static_cast<std::int64_t>(std::min(static_cast<double>(e) + reach, static_cast<double>(w.size() - 1)));
  const std::int64_t count = (s - left) + (right - e);
  double outer = 0.0;
  for (std::int64_t i = left; i <= right; ++i) outer += i < s || i > e ? w[static_cast<std::size_t>(i)] : 0.0;
  return mean(w, s, e) - (count > 0 ? outer / static_cast<double>(count) : 0.0);
}

void naive_groups(const Line& cut, const Line& w, double threshold, std::size_t label, double bonus,
                  const tal::SourceOptions& source, const tal::ProposalOptions& o, tal::ProposalColumns& out) {
  const auto n = static_cast<std::int64_t>(cut.size());
  for (std::int64_t s = 0; s < n; ++s) {
    if (!(cut[static_cast<std::size_t>(s)] > threshold)) continue;
    std::int64_t e = s;
    while (e + 1 < n && cut[static_cast<std::size_t>(e + 1)] > threshold) ++e;
    if (e - s + 1 >= o.min_length) {
      out.start.push_back(static_cast<double>(s) / static_cast<double>(o.upsample));
      out.end.push_back(static_cast<double>(e + 1) / static_cast<double>(o.upsample));
      out.score.push_back(worth(w, s, e, source) + bonus);
      out.label.push_back(static_cast<std::int32_t>(label));
    }
    s = e;
  }
}

void naive(const Video& v, const tal::ProposalOptions& o, tal::ProposalColumns& out) {
  if (v.length == 0) return;
  const Line p = naive_scores(v, o);
  std::vector<std::size_t> kept;
  for (std::size_t c = 0; c < p.size(); ++c) {
    if (p[c] >= o.class_threshold) kept.push_back(c);
  }
  if (kept.empty() && o.class_fallback) kept.push_back(static_cast<std::size_t>(std::max_element(p.begin(), p.end()) - p.begin()));
  const Line attention(v.attention.begin(), v.attention.end());
  for (const tal::SourceOptions& source : o.sources) {
    for (const std::size_t c : kept) {
      const Line own = column(v, static_cast<std::int64_t>(c));
      const Line cut = upsampled(scaled(source.of == tal::Of::cas ? own : attention, source.scale), o.upsample);
      const Line w = upsampled(scaled(own, source.score_scale), o.upsample);
      for (const double t : source.thresholds) naive_groups(cut, w, t, c, source.class_weight * p[c], source, o, out);
    }
  }
}

Video random_video(Dice& dice, std::int64_t columns) {
  Video v{{}, {}, static_cast<std::int64_t>(dice.below(40)), columns};
  for (std::int64_t i = 0; i < v.length * columns; ++i) v.cas.push_back(static_cast<float>(dice.grid(-2, 2)));
  for (std::int64_t i = 0; i < v.length; ++i) v.attention.push_back(static_cast<float>(dice.grid(0, 1)));
  return v;
}

tal::ProposalOptions random_options(Dice& dice) {
  tal::ProposalOptions o;
  for (std::size_t i = dice.below(3); i > 0; --i) {
    tal::SourceOptions s;
    s.of = dice.coin() ? tal::Of::cas : tal::Of::attention;
    // Off the grid of the values: a point on a threshold is a matter of rounding once up-sampled.
    s.thresholds = {0.07 + dice.grid(-1, 1), 0.13 + dice.grid(-1, 1)};
    s.scale = static_cast<tal::Scale>(dice.below(3));
    s.score_scale = static_cast<tal::Scale>(dice.below(3));
    s.scoring = static_cast<tal::Scoring>(dice.below(2));
    s.outer_ratio = dice.grid(0, 1);
    o.sources.push_back(s);
  }
  o.class_score = static_cast<tal::ClassScore>(dice.below(2));
  o.class_fallback = dice.coin();
  o.topk_ratio = 1 + static_cast<std::int64_t>(dice.below(9));
  o.min_length = 1 + static_cast<std::int64_t>(dice.below(3));
  o.upsample = 1 + static_cast<std::int64_t>(dice.below(4));
  o.background = dice.coin();
  return o;
}

void equals_the_definition() {
  for (unsigned seed = 0; seed < 300; ++seed) {
    Dice dice(seed);
    const auto columns = static_cast<std::int64_t>(2 + dice.below(3));
    const tal::ProposalOptions o = random_options(dice);
    std::vector<float> cas, attention;
    std::vector<std::int64_t> offsets = {0}, ends = {0};
    tal::ProposalColumns wanted;
    Line wanted_scores;
    for (std::size_t v = dice.below(4); v > 0; --v) {
      const Video video = random_video(dice, columns);
      naive(video, o, wanted);
      for (const double p : naive_scores(video, o)) wanted_scores.push_back(p);
      cas.insert(cas.end(), video.cas.begin(), video.cas.end());
      attention.insert(attention.end(), video.attention.begin(), video.attention.end());
      offsets.push_back(offsets.back() + video.length);
      ends.push_back(static_cast<std::int64_t>(wanted.start.size()));
    }
    attention.reserve(1);  // no videos: still not null
    const tal::SequenceBatch batch = {cas.data(), attention.data(), offsets.data(), offsets.size() - 1, columns};
    for (const int threads : {1, 3}) {
      const tal::ProposalColumns found = tal::propose(batch, o, threads);
      CHECK(found.start == wanted.start && found.end == wanted.end && found.label == wanted.label && found.offsets == ends);
      CHECK(test::close(found.score, wanted.score, 1e-7));
      CHECK(test::close(tal::video_scores(batch, o, threads), wanted_scores));
    }
  }
}

void refuses_what_makes_no_sense() {
  std::vector<float> cas(8, 0.5F);
  const std::int64_t offsets[] = {0, 4};
  const tal::SequenceBatch batch = {cas.data(), nullptr, offsets, 1, 2};
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    std::vector<float> broken = cas;
    broken[5] = bad;
    CHECK(test::refuses([&] { tal::propose({broken.data(), nullptr, offsets, 1, 2}, {}); }));
    CHECK(test::refuses([&] { tal::propose({cas.data(), broken.data() + 2, offsets, 1, 2}, {}); }));
    CHECK(test::refuses([&] { tal::video_scores({broken.data(), nullptr, offsets, 1, 2}, {}); }));
  }
  const auto bad = [&](auto change) {
    tal::ProposalOptions o;
    o.sources.resize(1);
    o.sources[0].thresholds = {0.5};
    change(o);
    return test::refuses([&] { tal::propose(batch, o); });
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(!bad([](auto&) {}));
  CHECK(bad([&](auto& o) { o.sources[0].thresholds[0] = nan; }));
  CHECK(bad([&](auto& o) { o.sources[0].outer_ratio = -1.0; }));
  CHECK(bad([&](auto& o) { o.sources[0].class_weight = nan; }));
  CHECK(bad([&](auto& o) { o.class_threshold = nan; }));
  CHECK(bad([](auto& o) { o.topk_ratio = 0; }));
  CHECK(bad([](auto& o) { o.upsample = 0; }));
  CHECK(bad([](auto& o) { o.upsample = std::numeric_limits<std::int64_t>::max(); }));
}

}  // namespace

int main() {
  equals_the_definition();
  refuses_what_makes_no_sense();
  return test::report("proposals");
}
