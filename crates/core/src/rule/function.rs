//! The functions of rule SQL: names, numbers of arguments, and the version that brought each (AWS IoT developer
//! guide, "AWS IoT SQL reference", "Functions").

use super::SqlVersion;

/// Declares the functions once: variant, name, fewest and most arguments, and whether the version of 2015 has it.
macro_rules! functions {
    ($($variant:ident $name:literal $fewest:literal..=$most:literal $since:ident,)*) => {
        /// A function.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(super) enum Function {
            $($variant,)*
        }

        impl Function {
            /// Every name, in the order of the guide.
            pub(super) const NAMES: &[&str] = &[$($name,)*];

            /// The function of a name, upper and lower case being the same.
            pub(super) fn named(name: &str) -> Option<Self> {
                $(if name.eq_ignore_ascii_case($name) {
                    return Some(Self::$variant);
                })*
                None
            }

            /// As the guide writes it.
            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Fewest and most arguments.
            pub(super) fn arguments(self) -> (usize, usize) {
                match self { $(Self::$variant => ($fewest, $most),)* }
            }

            /// Whether a version of the language has it.
            pub(super) fn is_in(self, version: SqlVersion) -> bool {
                match self { $(Self::$variant => version >= SqlVersion::$since,)* }
            }
        }
    };
}

functions! {
    Abs "abs" 1..=1 V2015_10_08,
    AccountId "accountid" 0..=0 V2015_10_08,
    Acos "acos" 1..=1 V2015_10_08,
    Asin "asin" 1..=1 V2015_10_08,
    Atan "atan" 1..=1 V2015_10_08,
    Atan2 "atan2" 2..=2 V2015_10_08,
    AwsLambda "aws_lambda" 2..=2 V2015_10_08,
    BitAnd "bitand" 2..=2 V2015_10_08,
    BitOr "bitor" 2..=2 V2015_10_08,
    BitXor "bitxor" 2..=2 V2015_10_08,
    BitNot "bitnot" 1..=1 V2015_10_08,
    Ceil "ceil" 1..=1 V2015_10_08,
    Chr "chr" 1..=1 V2015_10_08,
    ClientId "clientid" 0..=0 V2015_10_08,
    Concat "concat" 0..=255 V2015_10_08,
    Cos "cos" 1..=1 V2015_10_08,
    Cosh "cosh" 1..=1 V2015_10_08,
    Decode "decode" 2..=6 V2016_03_23,
    Encode "encode" 2..=2 V2016_03_23,
    EndsWith "endswith" 2..=2 V2015_10_08,
    Exp "exp" 1..=1 V2015_10_08,
    Floor "floor" 1..=1 V2015_10_08,
    Get "get" 2..=2 V2015_10_08,
    GetDynamoDb "get_dynamodb" 4..=6 V2016_03_23,
    GetMqttProperty "get_mqtt_property" 1..=1 V2016_03_23,
    GetOrDefault "get_or_default" 1..=2 V2016_03_23,
    GetRegistryData "get_registry_data" 3..=3 V2016_03_23,
    GetSecret "get_secret" 3..=4 V2016_03_23,
    GetThingShadow "get_thing_shadow" 2..=3 V2016_03_23,
    GetUserProperties "get_user_properties" 0..=1 V2016_03_23,
    Md2 "md2" 1..=1 V2015_10_08,
    Md5 "md5" 1..=1 V2015_10_08,
    Sha1 "sha1" 1..=1 V2015_10_08,
    Sha224 "sha224" 1..=1 V2015_10_08,
    Sha256 "sha256" 1..=1 V2015_10_08,
    Sha384 "sha384" 1..=1 V2015_10_08,
    Sha512 "sha512" 1..=1 V2015_10_08,
    IndexOf "indexof" 2..=2 V2016_03_23,
    IsNull "isNull" 1..=1 V2015_10_08,
    IsUndefined "isUndefined" 1..=1 V2016_03_23,
    Length "length" 1..=1 V2016_03_23,
    Ln "ln" 1..=1 V2015_10_08,
    Log "log" 1..=1 V2015_10_08,
    Lower "lower" 1..=1 V2015_10_08,
    Lpad "lpad" 2..=2 V2015_10_08,
    Ltrim "ltrim" 1..=1 V2015_10_08,
    MachineLearningPredict "machinelearning_predict" 3..=3 V2015_10_08,
    Mod "mod" 2..=2 V2015_10_08,
    Nanvl "nanvl" 2..=2 V2015_10_08,
    NewUuid "newuuid" 0..=0 V2015_10_08,
    NumBytes "numbytes" 1..=1 V2016_03_23,
    ParseTime "parse_time" 2..=3 V2016_03_23,
    Power "power" 2..=2 V2015_10_08,
    Principal "principal" 0..=0 V2015_10_08,
    Rand "rand" 0..=0 V2015_10_08,
    RegexpMatches "regexp_matches" 2..=2 V2015_10_08,
    RegexpReplace "regexp_replace" 3..=3 V2015_10_08,
    RegexpSubstr "regexp_substr" 2..=2 V2015_10_08,
    Remainder "remainder" 2..=2 V2015_10_08,
    Replace "replace" 3..=3 V2015_10_08,
    Rpad "rpad" 2..=2 V2015_10_08,
    Round "round" 1..=1 V2015_10_08,
    Rtrim "rtrim" 1..=1 V2015_10_08,
    Sign "sign" 1..=1 V2015_10_08,
    Sin "sin" 1..=1 V2015_10_08,
    Sinh "sinh" 1..=1 V2015_10_08,
    SourceIp "sourceip" 0..=0 V2016_03_23,
    Substring "substring" 2..=3 V2015_10_08,
    SqlVersion "sql_version" 0..=0 V2015_10_08,
    Sqrt "sqrt" 1..=1 V2015_10_08,
    StartsWith "startswith" 2..=2 V2015_10_08,
    Tan "tan" 1..=1 V2015_10_08,
    Tanh "tanh" 1..=1 V2015_10_08,
    TimeToEpoch "time_to_epoch" 2..=2 V2016_03_23,
    Timestamp "timestamp" 0..=0 V2015_10_08,
    Topic "topic" 0..=1 V2015_10_08,
    TraceId "traceid" 0..=0 V2015_10_08,
    Transform "transform" 3..=3 V2016_03_23,
    Trim "trim" 1..=1 V2015_10_08,
    Trunc "trunc" 2..=2 V2015_10_08,
    Upper "upper" 1..=1 V2015_10_08,
}

impl Function {
    /// Whether it asks another service, which takes a role or the permission of the service.
    pub(super) fn is_external(self) -> bool {
        matches!(
            self,
            Self::AwsLambda
                | Self::GetDynamoDb
                | Self::GetRegistryData
                | Self::GetSecret
                | Self::GetThingShadow
                | Self::MachineLearningPredict
        )
    }

    /// The number of arguments in words: `1 argument`, `2 or 3 arguments`.
    pub(super) fn arguments_in_words(self) -> String {
        match self.arguments() {
            (0, 0) => "no arguments".to_owned(),
            (1, 1) => "1 argument".to_owned(),
            (fewest, most) if fewest == most => format!("{fewest} arguments"),
            (fewest, most) if fewest + 1 == most => format!("{fewest} or {most} arguments"),
            (fewest, most) => format!("{fewest} to {most} arguments"),
        }
    }
}
