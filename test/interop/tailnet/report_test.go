package tailnet

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
)

// reportEnv names the file that the figures are written to, as JSON. Without it they are only shown.
const reportEnv = "DETOUR_DOWNLOAD_JSON"

// ratioToReach is the bar: our relay's throughput over derper's. It is reported beside the figure.
const ratioToReach = 1.2

// download is one download of the whole content.
type download struct {
	Relay           string  `json:"relay"`
	Seconds         float64 `json:"seconds"`
	RelayCPUSeconds float64 `json:"relay_cpu_seconds"`
}

// report is all downloads of one run, which alternate between the relays, and the medians.
type report struct {
	Bytes          int                `json:"bytes"`
	Downloads      []download         `json:"downloads"`
	MedianMbit     map[string]float64 `json:"median_mbit_per_second"`
	MedianRelayCPU map[string]float64 `json:"median_relay_cpu_seconds"`
	Ratio          float64            `json:"detour_to_derper"`
	RatioToReach   float64            `json:"ratio_to_reach"`
}

func (r *report) add(d download) { r.Downloads = append(r.Downloads, d) }

// finish computes the medians, shows them and writes the file.
func (r *report) finish(t *testing.T) {
	t.Helper()
	r.Bytes, r.RatioToReach = downloadBytes, ratioToReach
	r.MedianMbit, r.MedianRelayCPU = map[string]float64{}, map[string]float64{}
	for _, relay := range []string{"detour", "derper"} {
		r.MedianMbit[relay] = downloadBytes * 8 / 1e6 / r.median(relay, func(d download) float64 { return d.Seconds })
		r.MedianRelayCPU[relay] = r.median(relay, func(d download) float64 { return d.RelayCPUSeconds })
	}
	r.Ratio = r.MedianMbit["detour"] / r.MedianMbit["derper"]
	t.Logf("download of %d MB between two tsnet nodes, median of %d: through detour %.0f Mbit/s (%.2f s of relay CPU), "+
		"through derper %.0f Mbit/s (%.2f s); ratio %.2f, to reach %.1f", r.Bytes/1e6, rounds,
		r.MedianMbit["detour"], r.MedianRelayCPU["detour"], r.MedianMbit["derper"], r.MedianRelayCPU["derper"], r.Ratio, ratioToReach)
	file := os.Getenv(reportEnv)
	if file == "" {
		return
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// median of one figure over the downloads through one relay.
func (r *report) median(relay string, figure func(download) float64) float64 {
	var all []float64
	for _, d := range r.Downloads {
		if d.Relay == relay {
			all = append(all, figure(d))
		}
	}
	slices.Sort(all)
	return all[len(all)/2]
}
