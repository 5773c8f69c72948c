package dev.fastserve;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Locale;

/** Finds the native library: the one that the system property fastserve.library names, the one of the natives' jar, or
 * the system's. */
final class Library {
    private Library() {}

    static SymbolLookup open(Arena arena) {
        String named = System.getProperty("fastserve.library");
        if (named != null) return SymbolLookup.libraryLookup(Path.of(named), arena);
        String file = System.mapLibraryName("fastserve");
        try (InputStream packed = Library.class.getResourceAsStream(platform() + "/" + file)) {
            return packed == null ? SymbolLookup.libraryLookup(file, arena) : unpack(packed, file, arena);
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    private static SymbolLookup unpack(InputStream packed, String file, Arena arena) throws IOException {
        Path copy = Files.createTempFile("fastserve-", file);
        copy.toFile().deleteOnExit();
        Files.copy(packed, copy, StandardCopyOption.REPLACE_EXISTING);
        SymbolLookup found = SymbolLookup.libraryLookup(copy, arena);
        copy.toFile().delete(); // where a file in use may be deleted; else at the end
        return found;
    }

    /** "linux-x86_64", as the natives' jar is called. */
    static String platform() {
        String os = System.getProperty("os.name").toLowerCase(Locale.ROOT);
        String arch = System.getProperty("os.arch").toLowerCase(Locale.ROOT);
        String system = os.startsWith("mac") ? "macos" : os.startsWith("windows") ? "windows" : "linux";
        return system + "-" + (arch.equals("amd64") ? "x86_64" : arch);
    }
}
