// One run with its records, kept up to date; only new records are read.
import { api, type RecordInfo, type RunDetail } from "./api.ts";
import { resource, type Resource } from "./resource.svelte.ts";

/** maximum number of records in one response */
const PAGE = 200;

export interface LiveRun extends Resource<RunDetail> {
  /** oldest first */
  readonly records: readonly RecordInfo[];
  /** there are records after those that were read */
  readonly hasMore: boolean;
  /** read the next ones */
  more(): Promise<void>;
}

/** The run with an id, while the component lives. */
export function liveRun(id: () => number): LiveRun {
  let records = $state.raw<RecordInfo[]>([]);
  let of = -1;

  /** Add new records; two responses may contain the same ones. */
  function append(found: readonly RecordInfo[]): void {
    const last = records.at(-1)?.seq ?? -1;
    const fresh = found.filter((record) => record.seq > last);
    if (fresh.length) records = [...records, ...fresh];
  }

  async function next(run: number, signal?: AbortSignal): Promise<number> {
    const query = { after: records.at(-1)?.seq ?? 0, limit: PAGE };
    const found = await api.get("/runs/{run_id}/records", { path: { run_id: run }, query, ...(signal && { signal }) });
    if (of === run) append(found);
    return found.length;
  }

  const run = resource(
    async (signal) => {
      const wanted = id();
      const found = await api.get("/runs/{run_id}", { path: { run_id: wanted }, signal });
      if (of !== wanted) {
        of = wanted;
        records = [];
      }
      append(found.records);
      // a reader at the end gets new records at once; one who stopped at a page continues when ready
      const missing = found.record_count - records.length;
      if (missing > 0 && missing <= PAGE && records.length >= PAGE) await next(wanted, signal);
      return found;
    },
    (change) => (change.topic === "run" || change.topic === "record") && change.id === id(),
  );

  return {
    get value() {
      return run.value;
    },
    get problem() {
      return run.problem;
    },
    get isStale() {
      return run.isStale;
    },
    get records() {
      return records;
    },
    get hasMore() {
      return records.length < (run.value?.record_count ?? 0);
    },
    refresh: run.refresh,
    more: async () => void (await next(id())),
  };
}
