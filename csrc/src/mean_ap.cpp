#include "tal/mean_ap.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "columns.hpp"
#include "tal/nms.hpp"
#include "tal/parallel.hpp"

namespace tal {
namespace {

using detail::ByLabel;
using detail::refuse;
using detail::Rows;

using Bits = std::uint64_t;

void check(const ApOptions& o) {
  if (o.thresholds.size() > 64) refuse("got " + std::to_string(o.thresholds.size()) + " thresholds, at most 64 are allowed");
  for (double t : o.thresholds) {
    if (!std::isfinite(t)) refuse("a threshold is not finite");
  }
}

bool reaches(double overlap, double threshold, bool inclusive) {
  return inclusive ? overlap >= threshold : overlap > threshold;
}

// Predictions of a class in the order in which they are taken.
void sort_ranked(const PredictionColumns& p, Rows rows) {
  if (p.rank != nullptr) {
    std::sort(rows.begin(), rows.end(), [&](std::uint32_t a, std::uint32_t b) {
      return p.rank[a] != p.rank[b] ? p.rank[a] < p.rank[b] : a < b;
    });
    return;
  }
  detail::sort_rows(rows, p.score, [&](std::uint32_t a, std::uint32_t b) {
    if (p.start[a] != p.start[b]) return p.start[a] < p.start[b];
    if (p.end[a] != p.end[b]) return p.end[a] < p.end[b];
    if (p.video[a] != p.video[b]) return p.video[a] < p.video[b];
    return a < b;
  });
}

// One class: finds which predictions are right at which thresholds, then the areas.
class ClassAp {
 public:
  ClassAp(const TruthColumns& truth, const PredictionColumns& predictions, const ApOptions& o)
      : t_(truth), p_(predictions), o_(o) {}

  // Truth rows must be in listed order, prediction rows ranked. slot: scratch of [videos], zeros.
  void run(Rows truth, Rows ranked,
           std::vector<std::uint32_t>& slot, double* ap, std::size_t stride) {
    group(truth, slot);
    hits_.assign(ranked.size(), 0);
    if (o_.matching == Matching::best_free) {
      best_free(ranked, slot);
    } else {
      truth_first(ranked, slot);
    }
    for (const Video& v : videos_) slot[v.id] = 0;
    for (std::size_t k = 0; k < o_.thresholds.size(); ++k) ap[k * stride] = area(ranked, k, truth.size());
  }

 private:
  struct Video {
    std::size_t id;
    std::size_t first;
    std::size_t last;
  };

  struct Near {
    double overlap;
    std::size_t truth;
  };

  // Truth rows by video, in listed order; slot[video] = 1 + index into videos_.
  void group(Rows truth, std::vector<std::uint32_t>& slot) {
    std::vector<std::uint32_t> rows(truth.begin(), truth.end());
    std::stable_sort(rows.begin(), rows.end(), [&](auto a, auto b) { return t_.video[a] < t_.video[b]; });
    start_.clear();
    end_.clear();
    videos_.clear();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto video = static_cast<std::size_t>(t_.video[rows[i]]);
      if (videos_.empty() || videos_.back().id != video) videos_.push_back({video, i, i});
      videos_.back().last = i + 1;
      slot[video] = static_cast<std::uint32_t>(videos_.size());
      start_.push_back(t_.start[rows[i]]);
      end_.push_back(t_.end[rows[i]]);
    }
    taken_.assign(rows.size(), 0);
  }

  void best_free(Rows ranked, const std::vector<std::uint32_t>& slot) {
    const double least = o_.thresholds.empty() ? 0.0 : *std::min_element(o_.thresholds.begin(), o_.thresholds.end());
    for (std::size_t i = 0; i < ranked.size(); ++i) {
      const std::uint32_t row = ranked[i];
      const std::uint32_t at = slot[static_cast<std::size_t>(p_.video[row])];
      if (at == 0) continue;
      const Video& v = videos_[at - 1];
      near_.clear();
      for (std::size_t g = v.first; g < v.last; ++g) {
        const double overlap = tiou(p_.start[row], p_.end[row], start_[g], end_[g]);
        if (reaches(overlap, least, o_.inclusive)) near_.push_back({overlap, g});
      }
      if (near_.size() > 1) {
        std::sort(near_.begin(), near_.end(), [](const Near& a, const Near& b) {
          return a.overlap != b.overlap ? a.overlap > b.overlap : a.truth < b.truth;
        });
      }
      for (std::size_t k = 0; k < o_.thresholds.size() && !near_.empty(); ++k) {
        const Bits bit = Bits{1} << k;
        for (const Near& n : near_) {
          if (!reaches(n.overlap, o_.thresholds[k], o_.inclusive)) break;
          if ((taken_[n.truth] & bit) != 0) continue;
          taken_[n.truth] |= bit;
          hits_[i] |= bit;
          break;
        }
      }
    }
  }

  void truth_first(Rows ranked, const std::vector<std::uint32_t>& slot) {
    std::vector<std::vector<std::size_t>> of_video(videos_.size());
    for (std::size_t i = 0; i < ranked.size(); ++i) {
      const std::uint32_t at = slot[static_cast<std::size_t>(p_.video[ranked[i]])];
      if (at != 0) of_video[at - 1].push_back(i);
    }
    for (std::size_t v = 0; v < videos_.size(); ++v) {
      for (std::size_t g = videos_[v].first; g < videos_[v].last; ++g) take_best(ranked, of_video[v], g);
    }
  }

  void take_best(Rows ranked, const std::vector<std::size_t>& candidates, std::size_t g) {
    near_.clear();
    for (std::size_t i : candidates) {
      const std::uint32_t row = ranked[i];
      const double overlap = tiou(p_.start[row], p_.end[row], start_[g], end_[g]);
      if (overlap > 0.0) near_.push_back({overlap, i});
    }
    std::stable_sort(near_.begin(), near_.end(), [](const Near& a, const Near& b) { return a.overlap > b.overlap; });
    for (std::size_t k = 0; k < o_.thresholds.size(); ++k) {
      const Bits bit = Bits{1} << k;
      const auto free = std::find_if(near_.begin(), near_.end(), [&](const Near& n) { return (hits_[n.truth] & bit) == 0; });
      if (free != near_.end() && reaches(free->overlap, o_.thresholds[k], o_.inclusive)) hits_[free->truth] |= bit;
    }
  }

  // Positions (1-based, among those that count) of the true positives at threshold k.
  void positions(Rows ranked, std::size_t k) {
    const Bits bit = Bits{1} << k;
    places_.clear();
    std::size_t counted = 0;
    for (std::size_t i = 0; i < ranked.size();) {
      std::size_t j = i + 1;
      if (o_.ties != Ties::ranked) {
        while (j < ranked.size() && p_.score[ranked[j]] == p_.score[ranked[i]]) ++j;
      }
      std::size_t right = 0;
      std::size_t wrong = 0;
      for (; i < j; ++i) {
        if ((hits_[i] & bit) != 0) {
          ++right;
        } else if (p_.ignorable == nullptr || p_.ignorable[ranked[i]] == 0) {
          ++wrong;
        }
      }
      const std::size_t before = o_.ties == Ties::true_last ? counted + wrong : counted;
      for (std::size_t r = 0; r < right; ++r) places_.push_back(before + r + 1);
      counted += right + wrong;
    }
  }

  double area(Rows ranked, std::size_t k, std::size_t positives) {
    if (positives == 0) return std::numeric_limits<double>::quiet_NaN();
    positions(ranked, k);
    if (o_.rule == ApRule::eleven_point) return eleven_points(positives);
    double total = 0.0;
    double envelope = 0.0;
    for (std::size_t r = places_.size(); r-- > 0;) {
      // Between true positives precision only falls, so its envelope is found at them.
      const double precision = static_cast<double>(r + 1) / static_cast<double>(places_[r]);
      envelope = o_.rule == ApRule::interpolated ? std::max(envelope, precision) : precision;
      total += envelope;
    }
    return total / static_cast<double>(positives);
  }

  double eleven_points(std::size_t positives) const {
    double total = 0.0;
    double best = 0.0;
    std::size_t r = places_.size();
    for (std::size_t level = 11; level-- > 0;) {
      for (; r > 0 && 10 * r >= level * positives; --r) {
        best = std::max(best, static_cast<double>(r) / static_cast<double>(places_[r - 1]));
      }
      total += best;
    }
    return total / 11.0;
  }

  const TruthColumns& t_;
  const PredictionColumns& p_;
  const ApOptions& o_;
  std::vector<double> start_, end_;
  std::vector<Bits> taken_;
  std::vector<Video> videos_;
  std::vector<Bits> hits_;
  std::vector<Near> near_;
  std::vector<std::size_t> places_;
};

}  // namespace

std::vector<double> average_precision(const TruthColumns& truth, const PredictionColumns& predictions,
                                      std::size_t classes, std::size_t videos, const ApOptions& options, int threads) {
  check(options);
  detail::check_rows(truth, classes, videos, "truth", threads);
  detail::check_rows(predictions, classes, videos, "prediction", threads);
  detail::check_scores(predictions.score, predictions.size, threads);
  ByLabel of_truth(truth.label, truth.size, classes, threads);
  ByLabel of_predictions(predictions.label, predictions.size, classes, threads);
  std::vector<double> ap(options.thresholds.size() * classes, std::numeric_limits<double>::quiet_NaN());
  const auto order = detail::largest_first(classes, threads, [&](std::size_t c) { return of_predictions.size(c); });
  for_each_index(classes, threads, [&](std::size_t i) {
    const std::size_t c = order[i];
    if (of_truth.size(c) == 0 || options.thresholds.empty()) return;
    const Rows ranked = of_predictions[c];
    sort_ranked(predictions, ranked);
    std::vector<std::uint32_t> slot(videos, 0);
    ClassAp(truth, predictions, options).run(of_truth[c], ranked, slot, ap.data() + c, classes);
  });
  return ap;
}

}  // namespace tal
