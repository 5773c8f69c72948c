package dev.fastserve;

/** A search for the likeliest text: {@code new BeamSearch().beamCount(4)}. */
public final class BeamSearch extends BeamSearchSettings<BeamSearch> {
    @Override
    BeamSearch self() {
        return this;
    }
}
