package dev.fastserve;

/**
 * What went or came back for want of memory.
 * @param pressure PressureFlags, combined
 * @param budgetBytes 0: none
 */
public record MemoryEvent(int pressure, long usedBytes, long budgetBytes) {
    /** Whether it tells of this. */
    public boolean has(PressureFlags flag) {
        return (pressure & flag.number) != 0;
    }
}
