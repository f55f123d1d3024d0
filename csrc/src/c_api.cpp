// tal.h on top of the C++ headers: checks what only C can get wrong, then calls.
#include "tal/boundary.hpp"
#include "tal/kmedoids.hpp"
#include "tal/mean_ap.hpp"
#include "tal/nms.hpp"
#include "tal/picture.hpp"
#include "tal/proposals.hpp"
#include "tal/recall.hpp"

#include "c_guard.hpp"

namespace {

using namespace tal::detail;

tal::SequenceBatch sequences(const tal_sequences* in) {
  need(in, "in");
  const std::size_t rows = check_offsets(in->offsets, in->videos);
  if (in->columns < 1) refuse("columns is " + std::to_string(in->columns) + ", must be at least 1");
  need_column(in->cas, rows, "cas");
  return {in->cas, in->attention, in->offsets, in->videos, in->columns, nullptr};
}

tal::SourceOptions source(const tal_source_options& s) {
  need_column(s.thresholds, s.threshold_count, "thresholds");
  tal::SourceOptions o;
  o.of = choice(s.of, tal::Of::attention, "of");
  o.thresholds.assign(s.thresholds, s.thresholds + s.threshold_count);
  o.scale = choice(s.scale, tal::Scale::relu_minmax, "scale");
  o.score_scale = choice(s.score_scale, tal::Scale::relu_minmax, "score_scale");
  o.scoring = choice(s.scoring, tal::Scoring::maximum, "scoring");
  o.outer_ratio = s.outer_ratio;
  o.class_weight = s.class_weight;
  return o;
}

tal::ProposalOptions proposal_options(const tal_proposal_options* c) {
  need(c, "options");
  need_column(c->sources, c->source_count, "sources");
  tal::ProposalOptions o;
  for (std::size_t i = 0; i < c->source_count; ++i) o.sources.push_back(source(c->sources[i]));
  o.class_score = choice(c->class_score, tal::ClassScore::sigmoid, "class_score");
  o.class_threshold = c->class_threshold;
  o.class_fallback = flag(c->class_fallback, "class_fallback");
  o.topk_ratio = c->topk_ratio;
  o.min_length = c->min_length;
  o.upsample = c->upsample;
  o.background = flag(c->background, "background");
  o.compat_any = flag(c->compat_any, "compat_any");
  return o;
}

tal::IntervalBatch intervals(const tal_intervals* in) {
  need(in, "in");
  const std::size_t rows = check_offsets(in->offsets, in->videos);
  need_column(in->start, rows, "start");
  need_column(in->end, rows, "end");
  need_column(in->score, rows, "score");
  return {in->start, in->end, in->score, in->label, in->offsets, in->videos};
}

tal::NmsOptions nms_options(const tal_nms_options* c) {
  need(c, "options");
  tal::NmsOptions o;
  o.kind = choice(c->kind, tal::NmsKind::suppressor, "kind");
  o.sigma = c->sigma;
  o.threshold = c->threshold;
  o.threshold_slope = c->threshold_slope;
  o.inclusive = flag(c->inclusive, "inclusive");
  o.length_offset = c->length_offset;
  o.min_score = c->min_score;
  o.top_k = c->top_k;
  o.class_agnostic = flag(c->class_agnostic, "class_agnostic");
  return o;
}

// label: what stands for the labels; they differ between precision and recall.
tal::TruthColumns truth_columns(const tal_truth* in, const std::int32_t* label) {
  need_column(in->video, in->size, "truth.video");
  need_column(label, in->size, "truth.label");
  need_column(in->start, in->size, "truth.start");
  need_column(in->end, in->size, "truth.end");
  return {in->video, label, in->start, in->end, in->size};
}

tal::PredictionColumns prediction_columns(const tal_predictions* in, const std::int32_t* label) {
  need_column(in->video, in->size, "predictions.video");
  need_column(label, in->size, "predictions.label");
  need_column(in->start, in->size, "predictions.start");
  need_column(in->end, in->size, "predictions.end");
  need_column(in->score, in->size, "predictions.score");
  return {in->video, label, in->start, in->end, in->score, in->rank, in->ignorable, in->size};
}

tal::ApOptions ap_options(const tal_ap_options* c) {
  need(c, "options");
  need_column(c->thresholds, c->threshold_count, "thresholds");
  tal::ApOptions o;
  o.thresholds.assign(c->thresholds, c->thresholds + c->threshold_count);
  o.matching = choice(c->matching, tal::Matching::truth_first, "matching");
  o.rule = choice(c->rule, tal::ApRule::eleven_point, "rule");
  o.inclusive = flag(c->inclusive, "inclusive");
  o.ties = choice(c->ties, tal::Ties::true_last, "ties");
  return o;
}

void check_features(const tal_features* f, const std::int64_t* points, std::size_t count) {
  need(f, "features");
  if (f->length < 1 || f->width < 1) refuse("features must have at least one frame and one dimension");
  need(f->values, "features.values");
  need_column(points, count, "points");
}

// Rows x columns of a result that is one vector.
auto matrix(std::size_t rows, std::size_t columns) {
  return [rows, columns](const std::vector<double>& values, tal_matrix& out) {
    out.values = values.data();
    out.rows = rows;
    out.columns = columns;
  };
}

}  // namespace

const char* tal_version(void) { return TAL_VERSION; }

const char* tal_last_error(void) { return last_error(); }

void tal_release(tal_owner* owner) { delete owner; }

tal_source_options tal_source_options_default(void) {
  const tal::SourceOptions o;
  return {static_cast<std::int32_t>(o.of), nullptr, 0, static_cast<std::int32_t>(o.scale),
          static_cast<std::int32_t>(o.score_scale), static_cast<std::int32_t>(o.scoring), o.outer_ratio, o.class_weight};
}

tal_proposal_options tal_proposal_options_default(void) {
  const tal::ProposalOptions o;
  return {nullptr, 0, static_cast<std::int32_t>(o.class_score), o.class_threshold, o.class_fallback, o.topk_ratio,
          o.min_length, o.upsample, o.background, o.compat_any};
}

tal_nms_options tal_nms_options_default(void) {
  const tal::NmsOptions o;
  return {static_cast<std::int32_t>(o.kind), o.sigma, o.threshold, o.threshold_slope, o.inclusive, o.length_offset,
          o.min_score, o.top_k, o.class_agnostic};
}

tal_ap_options tal_ap_options_default(void) {
  const tal::ApOptions o;
  return {nullptr, 0, static_cast<std::int32_t>(o.matching), static_cast<std::int32_t>(o.rule), o.inclusive,
          static_cast<std::int32_t>(o.ties)};
}

tal_recall_options tal_recall_options_default(void) {
  const tal::RecallOptions o;
  return {nullptr, 0, o.max_average, o.steps};
}

tal_boundary_options tal_boundary_options_default(void) {
  const tal::BoundaryOptions o;
  return {o.peak_share, o.d_min, o.d_max, o.top_k};
}

tal_status tal_propose(const tal_sequences* in, const tal_proposal_options* options, int threads, tal_proposals* out) {
  return guarded(
      out, [&] { return tal::propose(sequences(in), proposal_options(options), threads); },
      [](const tal::ProposalColumns& r, tal_proposals& o) {
        o = {nullptr, r.start.data(), r.end.data(), r.score.data(), r.label.data(), r.offsets.data(), r.start.size()};
      });
}

tal_status tal_video_scores(const tal_sequences* in, const tal_proposal_options* options, int threads,
                            tal_matrix* out) {
  return guarded(
      out, [&] { return tal::video_scores(sequences(in), proposal_options(options), threads); },
      [&](const std::vector<double>& values, tal_matrix& o) {
        matrix(in->videos, static_cast<std::size_t>(in->columns - options->background))(values, o);
      });
}

tal_status tal_suppress(const tal_intervals* in, const tal_nms_options* options, int threads, tal_kept* out) {
  return guarded(
      out, [&] { return tal::suppress(intervals(in), nms_options(options), threads); },
      [](const tal::Kept& r, tal_kept& o) {
        o = {nullptr, r.index.data(), r.score.data(), r.offsets.data(), r.index.size()};
      });
}

tal_status tal_average_precision(const tal_truth* truth, const tal_predictions* predictions, size_t classes,
                                 size_t videos, const tal_ap_options* options, int threads, tal_matrix* out) {
  return guarded(
      out,
      [&] {
        need(truth, "truth");
        need(predictions, "predictions");
        const tal::TruthColumns t = truth_columns(truth, truth->label);
        const tal::PredictionColumns p = prediction_columns(predictions, predictions->label);
        return tal::average_precision(t, p, classes, videos, ap_options(options), threads);
      },
      [&](const std::vector<double>& values, tal_matrix& o) { matrix(options->threshold_count, classes)(values, o); });
}

tal_status tal_average_recall(const tal_truth* truth, const tal_predictions* proposals, size_t videos,
                              const tal_recall_options* options, int threads, tal_recall_curve* out) {
  return guarded(
      out,
      [&] {
        need(truth, "truth");
        need(proposals, "predictions");
        need(options, "options");
        need_column(options->thresholds, options->threshold_count, "thresholds");
        const std::vector<std::int32_t> no_label(std::max(truth->size, proposals->size), 0);
        const double* first = options->thresholds;
        return tal::average_recall(truth_columns(truth, no_label.data()), prediction_columns(proposals, no_label.data()),
                                   videos,
                                   {{first, first + options->threshold_count}, options->max_average, options->steps},
                                   threads);
      },
      [&](const tal::RecallCurve& r, tal_recall_curve& o) {
        o = {nullptr, r.recall.data(), r.proposals_per_video.data(), options->threshold_count, options->steps};
      });
}

tal_status tal_find_boundary_pairs(const double* start, const double* end, int64_t length,
                                   const tal_boundary_options* options, tal_boundary_pairs* out) {
  return guarded(
      out,
      [&] {
        need(options, "options");
        if (length < 0) refuse("length is " + std::to_string(length) + ", must be at least 0");
        need_column(start, static_cast<std::size_t>(length), "start");
        need_column(end, static_cast<std::size_t>(length), "end");
        return tal::boundary_pairs(start, end, length,
                                   {options->peak_share, options->d_min, options->d_max, options->top_k});
      },
      [](const tal::BoundaryPairs& r, tal_boundary_pairs& o) {
        o = {nullptr, r.start.data(), r.end.data(), r.score.data(), r.start.size()};
      });
}

tal_status tal_sampling_positions(const double* start, const double* end, size_t n, size_t points, double margin,
                                  tal_matrix* out) {
  return guarded(
      out,
      [&] {
        need_column(start, n, "start");
        need_column(end, n, "end");
        return tal::sampling_positions(start, end, n, points, margin);
      },
      matrix(n, points));
}

tal_status tal_constrained_kmedoids(const tal_features* features, const int64_t* points, size_t count,
                                    size_t max_sweeps, tal_clusters* out) {
  return guarded(
      out,
      [&] {
        check_features(features, points, count);
        return tal::constrained_kmedoids(features->values, features->length, features->width, points, count,
                                         max_sweeps);
      },
      [&](const tal::Clusters& r, tal_clusters& o) {
        o = {nullptr, r.bounds.data(), r.medoids.data(), r.cost.data(), count, r.cost.size()};
      });
}

tal_status tal_mine_actions(const tal_features* features, const int64_t* points, const tal_clusters* clusters,
                            double kappa, double floor, tal_actions* out) {
  return guarded(
      out,
      [&] {
        need(clusters, "clusters");
        const std::size_t n = clusters->count;
        check_features(features, points, n);
        need_column(clusters->bounds, n + 1, "clusters.bounds");
        need_column(clusters->medoids, n, "clusters.medoids");
        const tal::Clusters given{{clusters->bounds, clusters->bounds + n + 1},
                                  {clusters->medoids, clusters->medoids + n}, {}};
        return tal::mine_actions(features->values, features->length, features->width, points, given, kappa, floor);
      },
      [](const tal::Actions& r, tal_actions& o) { o = {nullptr, r.start.data(), r.end.data(), r.start.size()}; });
}

tal_status tal_scaled_picture(const tal_stored_frame* frame, const tal_colours* colours, const tal_scaled_crop* crop,
                              tal_picture* out) {
  return guarded(
      out,
      [&] {
        need(frame, "frame");
        need(colours, "colours");
        need(crop, "crop");
        for (const std::uint8_t* plane : {frame->y, frame->u, frame->v}) need(plane, "a plane of frame");
        const std::size_t step = frame->chroma_step;
        if (step != 1 && step != 2) refuse("chroma_step is " + std::to_string(step) + ", must be 1 or 2");
        const tal::StoredFrame stored{{frame->y, frame->luma_line, 1}, {frame->u, frame->chroma_line, step},
                                      {frame->v, frame->chroma_line, step}, frame->height, frame->width};
        const tal::Colours weights{colours->black, colours->luma, colours->rv, colours->gu, colours->gv, colours->bu};
        const tal::ScaledCrop part{crop->height, crop->width, crop->top, crop->left, crop->rows, crop->columns};
        tal::check(stored, part);
        std::vector<std::uint8_t> pixels(3 * part.rows * part.columns);
        tal::scaled_picture(stored, weights, part, pixels.data());
        return pixels;
      },
      [&](const std::vector<std::uint8_t>& r, tal_picture& o) { o = {nullptr, r.data(), crop->rows, crop->columns}; });
}
