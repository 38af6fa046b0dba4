"""Currencies and the bounds of an amount (design section 4, promise 4).

An amount is an integer of minor units; the exponent says how many decimals the unit on paper has.
"""

# Above 2^53 a JSON reader that holds numbers as doubles would silently change the amount.
AMOUNT_MAX = 2**53 - 1

# ISO 4217 list one of 2026-01-01 by minor unit. Codes without one (metals, SDR, tests) are no money
# a card can hold and are left out.
_CODES: dict[int, str] = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
    CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP
    GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT
    LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN
    NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB
    SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS
    UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
EXPONENTS: dict[str, int] = {
    code: digits for digits, codes in _CODES.items() for code in codes.split()
}
# Signs that name one currency alone among those we have; any other is written as its code.
SIGNS = {"CNY": "¥", "EUR": "€", "GBP": "£", "USD": "US$", "HKD": "HK$"}
MINUS = "−"


def exponent(currency: str) -> int:
    """Decimals of a currency: 2 for CNY, 0 for JPY, 3 for KWD.

    Raises ValueError for what is no active ISO 4217 code with a minor unit.
    """
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise ValueError(
            f"{currency!r} is no active ISO 4217 currency; send its three capital letters, as CNY"
        ) from None


def written(minor: int, currency: str) -> str:
    """An amount for people: ¥1,234.50, −JPY 500, KWD 1.234. Reckoned in integers throughout.

    Raises ValueError as `exponent`.
    """
    digits = exponent(currency)
    whole, part = divmod(abs(minor), 10**digits)
    sign = SIGNS.get(currency, f"{currency}\u00a0")
    decimals = f".{part:0{digits}}" if digits else ""
    return f"{MINUS if minor < 0 else ''}{sign}{whole:,}{decimals}"
