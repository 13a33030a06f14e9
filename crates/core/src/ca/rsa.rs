//! RSA keys (RFC 8017, 3): two primes are searched for, with the arithmetic of OpenSSL's big numbers.
//!
//! A station that issues RSA certificates spends nearly all of its time here. aws-lc draws a number anew for each
//! candidate, and OpenSSL tests one that passes 64 times; both leave half of the speed behind that the same
//! multiplication allows.

use std::{
    ops::{Deref, DerefMut},
    sync::LazyLock,
};

use openssl::{
    bn::{BigNum, BigNumContext, BigNumContextRef, BigNumRef},
    error::ErrorStack,
    rsa::RsaPrivateKeyBuilder,
};
use zeroize::Zeroizing;

use super::KeyError;

/// The public exponent. It is prime.
const EXPONENT: u32 = 65537;
/// Odd numbers that are looked at from a random start. A prime of 2,048 bits is among them 99 times of 100, a smaller one
/// all but always; if none is, the next start is drawn.
const WINDOW: usize = 4096;
/// Divisors of the sieve are below this. What is left has a prime among 36 (1,024 bits); more of them would cost more
/// than the exponentiations that they save.
const LARGEST_DIVISOR: u32 = 1 << 16;
/// Random bases of the Miller-Rabin test, after the base 2. For a random odd number of 1,024 bits the chance that it is
/// composite and passes is below 2^-150 (Damgård, Landrock and Pomerance, "Average case error estimates for the strong
/// probable prime test", theorem 2), and less for longer ones; that candidates follow each other costs some bits of it.
const BASES: usize = 8;
/// Bits in which the primes have to differ from the top on (FIPS 186-5, A.1.3, step 5.4).
const APART: i32 = 100;

/// A new RSA key of this many bits as RSAPrivateKey in DER (RFC 8017, A.1.2), with the public exponent 65537.
///
/// # Errors
/// [`KeyError::Generate`] if the operating system has no random numbers, or OpenSSL no memory.
pub(super) fn generate(bits: usize) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let half = bits / 2;
    let mut context = BigNumContext::new()?;
    let p = prime(half, &mut context)?;
    loop {
        let q = prime(half, &mut context)?;
        let mut apart = Secret::new()?;
        apart.checked_sub(&p, &q)?;
        // That they are the same number is the case of zero bits.
        if apart.num_bits() as usize > half - APART as usize {
            return assemble(p, q, &mut context);
        }
    }
}

/// A random prime of `bits` bits, the two highest of them set, that is not 1 modulo the public exponent.
fn prime(bits: usize, context: &mut BigNumContextRef) -> Result<Secret, KeyError> {
    loop {
        let start = start(bits)?;
        let sieve = sieve(&start)?;
        let open = (0_u32..).zip(&sieve).filter(|(_, divisible)| !**divisible);
        for (place, _) in open {
            let mut candidate = Secret::copy(&start)?;
            candidate.add_word(2 * place)?;
            // Added to the largest starts, the window may run over.
            if candidate.num_bits() as usize == bits
                && candidate.mod_word(EXPONENT)? != 1
                && is_prime(&candidate, context)?
            {
                return Ok(candidate);
            }
        }
    }
}

/// A random odd number, the highest two bits set, so that the product of two has twice as many.
fn start(bits: usize) -> Result<Secret, KeyError> {
    let mut octets = Zeroizing::new(vec![0; bits / 8]);
    aws_lc_rs::rand::fill(&mut octets).map_err(|_| KeyError::Generate)?;
    if let [first, .., last] = octets.as_mut_slice() {
        *first |= 0b1100_0000;
        *last |= 1;
    }
    Ok(Secret(BigNum::from_slice(&octets)?))
}

/// Which of the numbers start, start + 2, start + 4 and so on have a small divisor.
fn sieve(start: &BigNumRef) -> Result<Vec<bool>, ErrorStack> {
    let mut divisible = vec![false; WINDOW];
    for group in DIVISORS.iter() {
        // One division of the large number for all of a group.
        let remainder = start.mod_word(group.product)? as u32;
        for &divisor in &group.divisors {
            let missing = match remainder % divisor {
                0 => 0,
                rest => divisor - rest,
            };
            // start + 2 * first is the first that is divisible: of `missing` and `missing + divisor` one is even.
            let first = (missing + divisor * (missing % 2)) / 2;
            for place in (first as usize..WINDOW).step_by(divisor as usize) {
                divisible[place] = true;
            }
        }
    }
    Ok(divisible)
}

/// Primes whose product fits into a word of OpenSSL's division.
struct Group {
    product: u32,
    divisors: Vec<u32>,
}

/// The odd primes below [`LARGEST_DIVISOR`].
static DIVISORS: LazyLock<Vec<Group>> = LazyLock::new(|| {
    let mut groups: Vec<Group> = Vec::new();
    let mut composite = vec![false; LARGEST_DIVISOR as usize];
    for number in (3..LARGEST_DIVISOR).step_by(2) {
        if composite[number as usize] {
            continue;
        }
        for multiple in (number..LARGEST_DIVISOR).step_by(number as usize) {
            composite[multiple as usize] = true;
        }
        let last = groups.last_mut();
        match last.and_then(|group| Some((group.product.checked_mul(number)?, group))) {
            Some((product, group)) => {
                group.product = product;
                group.divisors.push(number);
            }
            None => groups.push(Group {
                product: number,
                divisors: vec![number],
            }),
        }
    }
    groups
});

/// The Miller-Rabin test (FIPS 186-5, B.3.1) of an odd number, to the base 2 and to [`BASES`] random ones.
fn is_prime(candidate: &BigNumRef, context: &mut BigNumContextRef) -> Result<bool, ErrorStack> {
    let mut last = Secret::copy(candidate)?;
    last.sub_word(1)?;
    // last = odd * 2^twos
    let twos = (1..).find(|&bit| last.is_bit_set(bit)).unwrap_or(1);
    let mut odd = Secret::new()?;
    odd.rshift(&last, twos)?;
    // Exponentiation then takes a time, and reads memory in an order, that says nothing of the exponent.
    odd.set_const_time();
    let one = BigNum::from_u32(1)?;
    let mut passes = |base: &BigNumRef| {
        let mut power = Secret::new()?;
        power.mod_exp(base, &odd, candidate, context)?;
        if *power == *one || *power == *last {
            return Ok(true);
        }
        for _ in 1..twos {
            let mut square = Secret::new()?;
            square.mod_sqr(&power, candidate, context)?;
            if *square == *last {
                return Ok(true);
            }
            power = square;
        }
        Ok(false)
    };
    // Nearly everything composite ends here.
    if !passes(&*BigNum::from_u32(2)?)? {
        return Ok(false);
    }
    let mut range = Secret::copy(candidate)?;
    range.sub_word(3)?;
    for _ in 0..BASES {
        let mut base = BigNum::new()?;
        range.rand_range(&mut base)?;
        base.add_word(2)?;
        if !passes(&base)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The key of two primes (RFC 8017, 3.2), as DER.
fn assemble(
    p: Secret,
    q: Secret,
    context: &mut BigNumContextRef,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    // The coefficient is that of the smaller prime modulo the larger.
    let (mut p, q) = match *p > *q {
        true => (p, q),
        false => (q, p),
    };
    p.set_const_time();
    let exponent = BigNum::from_u32(EXPONENT)?;
    let mut modulus = BigNum::new()?;
    modulus.checked_mul(&p, &q, context)?;
    let mut p_less = Secret::copy(&p)?;
    p_less.sub_word(1)?;
    let mut q_less = Secret::copy(&q)?;
    q_less.sub_word(1)?;
    // The least common multiple of both.
    let mut common = Secret::new()?;
    common.gcd(&p_less, &q_less, context)?;
    let mut product = Secret::new()?;
    product.checked_mul(&p_less, &q_less, context)?;
    let mut order = Secret::new()?;
    order.checked_div(&product, &common, context)?;
    order.set_const_time();
    let mut private = Secret::new()?;
    private.mod_inverse(&exponent, &order, context)?;
    private.set_const_time();
    let mut of_p = Secret::new()?;
    of_p.checked_rem(&private, &p_less, context)?;
    let mut of_q = Secret::new()?;
    of_q.checked_rem(&private, &q_less, context)?;
    let mut coefficient = Secret::new()?;
    coefficient.mod_inverse(&q, &p, context)?;
    // What a key holds OpenSSL wipes itself.
    let key = RsaPrivateKeyBuilder::new(modulus, exponent, private.hand_over()?)?
        .set_factors(p.hand_over()?, q.hand_over()?)?
        .set_crt_params(
            of_p.hand_over()?,
            of_q.hand_over()?,
            coefficient.hand_over()?,
        )?
        .build();
    Ok(Zeroizing::new(key.private_key_to_der()?))
}

/// A number that is wiped when it is dropped.
struct Secret(BigNum);

impl Secret {
    fn new() -> Result<Self, ErrorStack> {
        BigNum::new().map(Self)
    }

    fn copy(number: &BigNumRef) -> Result<Self, ErrorStack> {
        number.to_owned().map(Self)
    }

    /// The number itself, for an owner that wipes it.
    fn hand_over(mut self) -> Result<BigNum, ErrorStack> {
        Ok(std::mem::replace(&mut self.0, BigNum::new()?))
    }
}

impl Deref for Secret {
    type Target = BigNum;

    fn deref(&self) -> &BigNum {
        &self.0
    }
}

impl DerefMut for Secret {
    fn deref_mut(&mut self) -> &mut BigNum {
        &mut self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use openssl::rsa::Rsa;

    use super::*;

    #[test]
    fn a_key_is_one_to_openssl_and_has_the_bits_that_were_asked_for() {
        for bits in [2048, 3072, 4096] {
            let key = Rsa::private_key_from_der(&generate(bits).unwrap()).unwrap();
            // Tests both primes 64 times each and more, and that all parts fit.
            assert!(key.check_key().unwrap());
            assert_eq!(key.n().num_bits(), bits as i32);
            assert_eq!(*key.e(), BigNum::from_u32(EXPONENT).unwrap());
            let (p, q) = (key.p().unwrap(), key.q().unwrap());
            assert!(p > q);
            for prime in [p, q] {
                assert_eq!(prime.num_bits(), bits as i32 / 2);
                assert!(prime.is_bit_set(bits as i32 / 2 - 2));
            }
            // The private exponent has to be long (FIPS 186-5, A.1.1, step 3a).
            assert!(key.d().num_bits() > bits as i32 / 2);
        }
    }

    #[test]
    fn what_is_found_is_prime_and_nothing_before_it_in_the_window() {
        let mut context = BigNumContext::new().unwrap();
        for _ in 0..3 {
            let start = start(512).unwrap();
            let sieve = sieve(&start).unwrap();
            for (place, divisible) in (0_u32..).zip(sieve).take(600) {
                let mut number = Secret::copy(&start).unwrap();
                number.add_word(2 * place).unwrap();
                let judge = number.is_prime(64, &mut context).unwrap();
                assert!(!(judge && divisible), "the sieve lost {place}");
                if !divisible {
                    assert_eq!(is_prime(&number, &mut context).unwrap(), judge, "{place}");
                }
            }
        }
    }

    #[test]
    fn the_sieve_strikes_what_has_a_small_divisor_and_nothing_else() {
        let start = start(256).unwrap();
        for (place, divisible) in (0_u32..).zip(sieve(&start).unwrap()) {
            let mut number = Secret::copy(&start).unwrap();
            number.add_word(2 * place).unwrap();
            let divides = |divisor: &u32| number.mod_word(*divisor).unwrap() == 0;
            let mut divisors = DIVISORS.iter().flat_map(|group| &group.divisors);
            assert_eq!(divisible, divisors.any(divides), "{place}");
        }
        let count: usize = DIVISORS.iter().map(|group| group.divisors.len()).sum();
        assert_eq!(count, 6541, "odd primes below 65,536 (OEIS A007053)");
    }

    #[test]
    fn numbers_that_deceive_weaker_tests_are_no_primes() {
        let mut context = BigNumContext::new().unwrap();
        let liars = [
            // Strong pseudoprimes to the base 2 (OEIS A001262), and to the first bases up to 37 (A014233).
            "2047",
            "3277",
            "3825123056546413051",
            "318665857834031151167461",
            // Arnault's, a strong pseudoprime to every prime base below 200.
            "803837457453639491257079614341942108138837688287558145837488917522297427376533365218650233\
             616396004545791504202360320876656996676098728404396540823292873879185086916685732826776177\
             102938969773947016708230428687109997439976544144845341155872450633409279022275296229414984\
             2306881685404326457534018329786111298960644845216191652872597534901",
        ];
        for liar in liars {
            let number = BigNum::from_dec_str(liar).unwrap();
            assert!(!is_prime(&number, &mut context).unwrap(), "{liar}");
        }
    }
}
