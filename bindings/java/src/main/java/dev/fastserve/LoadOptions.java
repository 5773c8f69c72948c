package dev.fastserve;

/** Settings of a load, its progress and its cancellation. */
public final class LoadOptions extends LoadSettings<LoadOptions> {
    /** Bytes done, and bytes in all. What it throws cancels the load. */
    public interface Progress {
        void report(long bytesDone, long bytesTotal);
    }

    Progress progress;

    @Override
    LoadOptions self() {
        return this;
    }

    public LoadOptions onProgress(Progress receiver) {
        progress = receiver;
        return this;
    }
}
