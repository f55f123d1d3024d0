// The core in plain C (C99): the functions of the .hpp headers, for a GStreamer or DeepStream
// element, ctypes, cgo. What a function computes is said in the .hpp of the same name.
//
// Errors: every call returns a tal_status; nothing is thrown. tal_last_error() has the words.
// Results: a struct whose columns belong to its `owner`. Give that to tal_release once you are done;
//   after an error the struct is all zeros. The inputs belong to the caller and are never kept.
// Threads: calls may run at the same time, on the same inputs too. `threads` is how many a call uses
//   itself (0: one a core); results do not depend on it.
// Memory: a call allocates what its comment says at most, result included, and holds nothing after
//   tal_release. Where that cannot be had the status is TAL_NO_MEMORY.
// Flags are 0 or 1. Columns may be null where their size is 0.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tal_status {
  TAL_OK = 0,
  TAL_INVALID = 1,    // an argument: null, not finite, out of range; the message names it
  TAL_NO_MEMORY = 2,  // the machine has too little for a result of this size
  TAL_FAILED = 3      // anything else, such as a fault of the system
} tal_status;

typedef struct tal_owner tal_owner;

// "0.2.0"
const char* tal_version(void);

// What went wrong in the last call of this thread that failed; "" before the first. Cut at 500 bytes.
const char* tal_last_error(void);

// Frees a result. Null is fine; a second release of the same owner is not.
void tal_release(tal_owner* owner);

// Row major [rows][columns].
typedef struct tal_matrix {
  tal_owner* owner;
  const double* values;
  size_t rows;
  size_t columns;
} tal_matrix;

// -- proposals.hpp -----------------------------------------------------------------------------

enum { TAL_OF_CAS = 0, TAL_OF_ATTENTION = 1 };
enum { TAL_SCALE_NONE = 0, TAL_SCALE_MINMAX = 1, TAL_SCALE_RELU_MINMAX = 2 };
enum { TAL_SCORING_CONTRAST = 0, TAL_SCORING_MAXIMUM = 1 };
enum { TAL_CLASS_SOFTMAX = 0, TAL_CLASS_SIGMOID = 1 };

typedef struct tal_source_options {
  int32_t of;
  const double* thresholds;  // [threshold_count]
  size_t threshold_count;
  int32_t scale;
  int32_t score_scale;
  int32_t scoring;
  double outer_ratio;
  double class_weight;
} tal_source_options;

typedef struct tal_proposal_options {
  const tal_source_options* sources;  // [source_count]
  size_t source_count;
  int32_t class_score;
  double class_threshold;
  int32_t class_fallback;
  int64_t topk_ratio;
  int64_t min_length;
  int64_t upsample;
  int32_t background;
  int32_t compat_any;
} tal_proposal_options;

// The defaults of proposals.hpp: a source of no thresholds, options of no sources.
tal_source_options tal_source_options_default(void);
tal_proposal_options tal_proposal_options_default(void);

typedef struct tal_sequences {
  const float* cas;        // [offsets[videos]][columns]
  const float* attention;  // [offsets[videos]] or null
  const int64_t* offsets;  // [videos + 1], starts at 0, never falls
  size_t videos;
  int64_t columns;
} tal_sequences;

typedef struct tal_proposals {
  tal_owner* owner;
  const double* start;
  const double* end;
  const double* score;
  const int32_t* label;
  const int64_t* offsets;  // [videos + 1]
  size_t size;
} tal_proposals;

// For T snippets, V videos, C columns and H thresholds in all sources: at most H * C * (T + V) rows,
// and 256 bytes a row + 128 * T * C + 512 * (V + H + C).
tal_status tal_propose(const tal_sequences* in, const tal_proposal_options* options, int threads, tal_proposals* out);

// Class probabilities [V][classes]. 16 * V * C bytes + 64 * (T + C) a thread.
tal_status tal_video_scores(const tal_sequences* in, const tal_proposal_options* options, int threads,
                            tal_matrix* out);

// -- nms.hpp -----------------------------------------------------------------------------------

enum { TAL_NMS_HARD = 0, TAL_NMS_LINEAR = 1, TAL_NMS_GAUSSIAN = 2, TAL_NMS_SUPPRESSOR = 3 };

typedef struct tal_nms_options {
  int32_t kind;
  double sigma;
  double threshold;
  double threshold_slope;
  int32_t inclusive;
  double length_offset;
  double min_score;
  int64_t top_k;
  int32_t class_agnostic;
} tal_nms_options;

tal_nms_options tal_nms_options_default(void);

typedef struct tal_intervals {
  const double* start;
  const double* end;
  const double* score;
  const int32_t* label;    // null: one class
  const int64_t* offsets;  // [videos + 1], starts at 0, never falls
  size_t videos;
} tal_intervals;

typedef struct tal_kept {
  tal_owner* owner;
  const int64_t* index;  // into the whole input
  const double* score;
  const int64_t* offsets;  // [videos + 1]
  size_t size;
} tal_kept;

// At most as many rows as there are intervals; 512 bytes an interval + 128 a video.
tal_status tal_suppress(const tal_intervals* in, const tal_nms_options* options, int threads, tal_kept* out);

// -- mean_ap.hpp, recall.hpp -------------------------------------------------------------------

enum { TAL_MATCH_BEST_FREE = 0, TAL_MATCH_TRUTH_FIRST = 1 };
enum { TAL_AP_INTERPOLATED = 0, TAL_AP_PLAIN = 1, TAL_AP_ELEVEN_POINT = 2 };
enum { TAL_TIES_RANKED = 0, TAL_TIES_TRUE_FIRST = 1, TAL_TIES_TRUE_LAST = 2 };

typedef struct tal_ap_options {
  const double* thresholds;  // [threshold_count], at most 64
  size_t threshold_count;
  int32_t matching;
  int32_t rule;
  int32_t inclusive;
  int32_t ties;
} tal_ap_options;

tal_ap_options tal_ap_options_default(void);

typedef struct tal_truth {
  const int32_t* video;
  const int32_t* label;  // tal_average_recall does not look at it
  const double* start;
  const double* end;
  size_t size;
} tal_truth;

typedef struct tal_predictions {
  const int32_t* video;
  const int32_t* label;  // as above
  const double* start;
  const double* end;
  const double* score;
  const int64_t* rank;       // or null
  const uint8_t* ignorable;  // or null
  size_t size;
} tal_predictions;

// [thresholds][classes], NaN for a class without truth. For H thresholds: 8 * H * classes bytes
// + 128 * classes + 256 * (truth + predictions) + 16 * videos a thread.
tal_status tal_average_precision(const tal_truth* truth, const tal_predictions* predictions, size_t classes,
                                 size_t videos, const tal_ap_options* options, int threads, tal_matrix* out);

typedef struct tal_recall_options {
  const double* thresholds;  // [threshold_count]
  size_t threshold_count;
  double max_average;
  size_t steps;
} tal_recall_options;

tal_recall_options tal_recall_options_default(void);

typedef struct tal_recall_curve {
  tal_owner* owner;
  const double* recall;               // [thresholds][steps]
  const double* proposals_per_video;  // [steps]
  size_t thresholds;
  size_t steps;
} tal_recall_curve;

// For H thresholds: 8 * H * steps * (videos + 2) bytes + 64 * steps + 16 * H * truth
// + 256 * (truth + proposals) + 256 * videos.
tal_status tal_average_recall(const tal_truth* truth, const tal_predictions* proposals, size_t videos,
                              const tal_recall_options* options, int threads, tal_recall_curve* out);

// -- boundary.hpp ------------------------------------------------------------------------------

typedef struct tal_boundary_options {
  double peak_share;
  int64_t d_min;
  int64_t d_max;
  int64_t top_k;
} tal_boundary_options;

tal_boundary_options tal_boundary_options_default(void);

typedef struct tal_boundary_pairs {
  tal_owner* owner;
  const int64_t* start;
  const int64_t* end;
  const double* score;
  size_t size;
} tal_boundary_pairs;

// top_k rows at most, or length * length / 2 where top_k is 0; 192 bytes a row + 64 * length.
tal_status tal_find_boundary_pairs(const double* start, const double* end, int64_t length,
                                   const tal_boundary_options* options, tal_boundary_pairs* out);

// [n][points]. 8 * n * points bytes.
tal_status tal_sampling_positions(const double* start, const double* end, size_t n, size_t points, double margin,
                                  tal_matrix* out);

// -- kmedoids.hpp ------------------------------------------------------------------------------

typedef struct tal_features {
  const float* values;  // [length][width]
  int64_t length;
  int64_t width;
} tal_features;

typedef struct tal_clusters {
  tal_owner* owner;
  const int64_t* bounds;   // [count + 1]
  const int64_t* medoids;  // [count]
  const double* cost;      // [cost_count]
  size_t count;
  size_t cost_count;  // at most max_sweeps + 1
} tal_clusters;

// 8 * length * width bytes + 256 * points + 16 * width + 32 * sweeps made.
tal_status tal_constrained_kmedoids(const tal_features* features, const int64_t* points, size_t count,
                                    size_t max_sweeps, tal_clusters* out);

typedef struct tal_actions {
  tal_owner* owner;
  const int64_t* start;
  const int64_t* end;
  size_t size;
} tal_actions;

// clusters: what tal_constrained_kmedoids gave for these points, or the like; its owner may be null.
// kmedoids.hpp has 0.5 for kappa and 1e-3 for floor. 8 * length * width bytes + 64 * (length + points).
tal_status tal_mine_actions(const tal_features* features, const int64_t* points, const tal_clusters* clusters,
                            double kappa, double floor, tal_actions* out);

// -- picture.hpp -------------------------------------------------------------------------------

// A stored 8-bit 4:2:0 frame: rows of Y, U and V, so many bytes apart. chroma_step: bytes from one U to the next, 2
// where U and V take turns. Each sample has to be there: see picture.hpp for how many.
typedef struct tal_stored_frame {
  const uint8_t* y;
  const uint8_t* u;
  const uint8_t* v;
  ptrdiff_t luma_line;
  ptrdiff_t chroma_line;
  size_t chroma_step;
  size_t height;
  size_t width;
} tal_stored_frame;

// Fields as in picture.hpp.
typedef struct tal_colours {
  float black, luma, rv, gu, gv, bu;
} tal_colours;

typedef struct tal_scaled_crop {
  size_t height, width, top, left, rows, columns;
} tal_scaled_crop;

typedef struct tal_picture {
  tal_owner* owner;
  const uint8_t* pixels;  // [rows][columns][3]
  size_t rows;
  size_t columns;
} tal_picture;

// 3 * rows * columns bytes + 512 * (rows + columns + height + width of the frame) + 4096.
tal_status tal_scaled_picture(const tal_stored_frame* frame, const tal_colours* colours, const tal_scaled_crop* crop,
                              tal_picture* out);

#ifdef __cplusplus
}
#endif
