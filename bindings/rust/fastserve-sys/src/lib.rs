//! The C ABI of fastserve, as `fastserve.h` declares it. The crate `fastserve` is the one to use; this is its floor.
//!
//! The library is linked, found by `FASTSERVE_LIB_DIR` or pkg-config. With the feature `load-dynamic` it is opened when
//! first used, or by [`load`] under a name of one's own.

#[cfg(feature = "load-dynamic")]
mod dynamic;
#[cfg(feature = "load-dynamic")]
pub use dynamic::load;

/// Declares the functions of the library: linked, or as a table filled when the library is opened.
macro_rules! functions {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        #[cfg(not(feature = "load-dynamic"))]
        extern "C" {
            $($(#[$doc])* pub fn $name($($argument: $type),*) $(-> $result)?;)*
        }

        #[cfg(feature = "load-dynamic")]
        pub(crate) struct Table {
            $($name: unsafe extern "C" fn($($type),*) $(-> $result)?,)*
        }

        #[cfg(feature = "load-dynamic")]
        impl Table {
            pub(crate) fn read(
                find: impl Fn(&str) -> Result<*mut std::ffi::c_void, String>,
            ) -> Result<Table, String> {
                Ok(Table {
                    // SAFETY: the library exports each name with the type that its header declares.
                    $($name: unsafe { std::mem::transmute(find(concat!(stringify!($name), "\0"))?) },)*
                })
            }
        }

        $(
            $(#[$doc])*
            /// # Safety
            /// As the C header says of its pointers.
            #[cfg(feature = "load-dynamic")]
            #[allow(clippy::too_many_arguments)]
            pub unsafe fn $name($($argument: $type),*) $(-> $result)? {
                (crate::dynamic::table().$name)($($argument),*)
            }
        )*
    };
}

/// Sizes and offsets of the structs above, a line each, to be compared with those of C.
macro_rules! layouts {
    ($($struct:ident: $($field:ident)*;)*) => {
        #[doc(hidden)]
        pub fn layout() -> String {
            fn size_of_field<S, F>(_: impl Fn(&S) -> &F) -> usize {
                size_of::<F>()
            }
            let mut text = String::new();
            $(
                text += &format!("{}={}", stringify!($struct), size_of::<$struct>());
                $(
                    text += &format!(
                        " {}@{}:{}",
                        stringify!($field).trim_start_matches("r#"),
                        std::mem::offset_of!($struct, $field),
                        size_of_field(|s: &$struct| &s.$field),
                    );
                )*
                text += "\n";
            )*
            text
        }
    };
}

mod bindings;
pub use bindings::*;
