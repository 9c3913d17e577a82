// Java's SunPKCS11 on a PKCS#11 module: what keytool made signs, what the provider makes itself signs, and Java's own
// software checks it. One line for each check; what this JDK's provider does not offer is skipped with a word why.
//
// usage: SunPkcs11 CONFIGURATION PIN ALIAS=SIGNATURE-ALGORITHM...

import java.math.BigInteger;
import java.security.AlgorithmParameters;
import java.security.Key;
import java.security.KeyFactory;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.PrivateKey;
import java.security.Provider;
import java.security.PublicKey;
import java.security.SecureRandom;
import java.security.Security;
import java.security.Signature;
import java.security.cert.Certificate;
import java.security.interfaces.ECPublicKey;
import java.security.spec.AlgorithmParameterSpec;
import java.security.spec.ECGenParameterSpec;
import java.security.spec.MGF1ParameterSpec;
import java.security.spec.PSSParameterSpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.Arrays;
import java.util.Collections;
import javax.crypto.Cipher;
import javax.crypto.KeyAgreement;
import javax.crypto.Mac;
import javax.crypto.SecretKey;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.IvParameterSpec;
import javax.crypto.spec.SecretKeySpec;

public final class SunPkcs11 {
    private static final byte[] MESSAGE = "pay 100 to the bearer".getBytes();
    private static final byte[] OTHER = "pay 900 to the bearer".getBytes();
    private static Provider token;
    private static int failures;

    private interface Work {
        void run() throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        token = Security.getProvider("SunPKCS11").configure(arguments[0]);
        Security.addProvider(token);
        KeyStore store = KeyStore.getInstance("PKCS11", token);
        char[] pin = arguments[1].toCharArray();
        check("the store opens with the PIN", () -> store.load(null, pin));
        for (String pair : Arrays.asList(arguments).subList(2, arguments.length)) {
            String[] words = pair.split("=");
            signs("the key `" + words[0] + "` of keytool", words[1], () -> entry(store, words[0], pin));
        }
        pair("RSA", 2048, null, "SHA256withRSA", "SHA384withRSA", "SHA512withRSA", "RSASSA-PSS");
        pair("EC", 0, "secp256r1", "SHA256withECDSA", "NONEwithECDSA");
        pair("EC", 0, "secp384r1", "SHA384withECDSA");
        pair("EC", 0, "secp521r1", "SHA512withECDSA");
        pair("Ed25519", 0, null, "Ed25519");
        agree();
        hash();
        encrypt();
        random();
        store(store, pin);
        System.exit(failures == 0 ? 0 : 1);
    }

    private static void check(String name, Work work) {
        try {
            work.run();
            System.out.println("passed  " + name);
        } catch (Exception | AssertionError error) {
            failures += 1;
            System.out.println("failed  " + name + ": " + error);
            for (Throwable cause = error.getCause(); cause != null; cause = cause.getCause()) {
                System.out.println("        " + cause);
            }
        }
    }

    private static boolean offers(String type, String algorithm) {
        if (token.getService(type, algorithm) != null) {
            return true;
        }
        String version = System.getProperty("java.version");
        System.out.println("skipped " + type + " " + algorithm + ": SunPKCS11 of JDK " + version + " does not offer it");
        return false;
    }

    private static void that(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    private interface Pairs {
        KeyPair get() throws Exception;
    }

    private static KeyPair entry(KeyStore store, String alias, char[] pin) throws Exception {
        Certificate certificate = store.getCertificate(alias);
        return new KeyPair(certificate.getPublicKey(), (PrivateKey) store.getKey(alias, pin));
    }

    /// Signs with the token; the token and Java's own software verify, and refuse another message.
    private static void signs(String name, String algorithm, Pairs pairs) {
        if (!offers("Signature", algorithm)) {
            return;
        }
        check(name + " signs " + algorithm, () -> {
            KeyPair pair = pairs.get();
            that(pair.getPrivate().getEncoded() == null, "the private key stays in the token");
            // A raw signature takes a digest.
            boolean raw = algorithm.startsWith("NONE");
            byte[] message = raw ? MessageDigest.getInstance("SHA-256").digest(MESSAGE) : MESSAGE;
            byte[] other = raw ? MessageDigest.getInstance("SHA-256").digest(OTHER) : OTHER;
            Signature signature = signature(algorithm, token);
            signature.initSign(pair.getPrivate());
            for (byte part : message) {
                signature.update(part);
            }
            byte[] bytes = signature.sign();
            PublicKey outside = outside(pair.getPublic());
            that(verifies(signature(algorithm, null), outside, message, bytes), "software verifies");
            that(!verifies(signature(algorithm, null), outside, other, bytes), "software refuses another message");
            that(verifies(signature(algorithm, token), pair.getPublic(), message, bytes), "the token verifies");
            that(!verifies(signature(algorithm, token), pair.getPublic(), other, bytes), "the token refuses");
        });
    }

    private static Signature signature(String algorithm, Provider provider) throws Exception {
        Signature signature;
        if (provider != null) {
            signature = Signature.getInstance(algorithm, provider);
        } else {
            String software = algorithm.contains("ECDSA") || algorithm.startsWith("Ed") ? "SunEC" : "SunRsaSign";
            signature = Signature.getInstance(algorithm, software);
        }
        if (algorithm.equals("RSASSA-PSS")) {
            signature.setParameter(new PSSParameterSpec("SHA-256", "MGF1", MGF1ParameterSpec.SHA256, 32, 1));
        }
        return signature;
    }

    private static boolean verifies(Signature signature, PublicKey key, byte[] message, byte[] bytes) throws Exception {
        signature.initVerify(key);
        signature.update(message);
        return signature.verify(bytes);
    }

    /// The public key as software has it, by way of its bytes.
    private static PublicKey outside(PublicKey key) throws Exception {
        String software = key.getAlgorithm().equals("RSA") ? "SunRsaSign" : "SunEC";
        return KeyFactory.getInstance(key.getAlgorithm(), software)
            .generatePublic(new X509EncodedKeySpec(key.getEncoded()));
    }

    private static void pair(String algorithm, int bits, String curve, String... signatures) {
        if (!offers("KeyPairGenerator", algorithm)) {
            return;
        }
        for (String signature : signatures) {
            signs("a made key " + (curve == null ? algorithm : curve), signature, () -> generate(algorithm, bits, curve));
        }
    }

    private static KeyPair generate(String algorithm, int bits, String curve) throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance(algorithm, token);
        if (curve != null) {
            generator.initialize(new ECGenParameterSpec(curve));
        } else if (bits > 0) {
            generator.initialize(bits);
        }
        return generator.generateKeyPair();
    }

    private static void agree() {
        if (!offers("KeyAgreement", "ECDH")) {
            return;
        }
        check("ECDH with software agrees", () -> {
            KeyPair ours = generate("EC", 0, "secp256r1");
            KeyPairGenerator software = KeyPairGenerator.getInstance("EC", "SunEC");
            software.initialize(new ECGenParameterSpec("secp256r1"));
            KeyPair theirs = software.generateKeyPair();
            KeyAgreement inside = KeyAgreement.getInstance("ECDH", token);
            inside.init(ours.getPrivate());
            inside.doPhase(theirs.getPublic(), true);
            KeyAgreement outside = KeyAgreement.getInstance("ECDH", "SunEC");
            outside.init(theirs.getPrivate());
            outside.doPhase(outside(ours.getPublic()), true);
            that(Arrays.equals(inside.generateSecret(), outside.generateSecret()), "both have the same secret");
        });
    }

    private static void hash() {
        for (String algorithm : new String[] {"SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"}) {
            if (offers("MessageDigest", algorithm)) {
                check("digest " + algorithm, () -> that(
                    Arrays.equals(
                        MessageDigest.getInstance(algorithm, token).digest(MESSAGE),
                        MessageDigest.getInstance(algorithm, "SUN").digest(MESSAGE)),
                    "the digest is software's"));
            }
        }
        for (String algorithm : new String[] {"HmacSHA1", "HmacSHA256", "HmacSHA384", "HmacSHA512"}) {
            if (offers("Mac", algorithm)) {
                check("authentication code " + algorithm, () -> {
                    Key key = new SecretKeySpec(new byte[32], algorithm);
                    Mac inside = Mac.getInstance(algorithm, token);
                    Mac outside = Mac.getInstance(algorithm, "SunJCE");
                    inside.init(key);
                    outside.init(key);
                    that(Arrays.equals(inside.doFinal(MESSAGE), outside.doFinal(MESSAGE)), "the code is software's");
                });
            }
        }
    }

    private static void encrypt() {
        cipher("AES/CBC/PKCS5Padding", new IvParameterSpec(new byte[16]));
        cipher("AES/CTR/NoPadding", new IvParameterSpec(new byte[16]));
        cipher("AES/GCM/NoPadding", new GCMParameterSpec(128, new byte[12]));
    }

    private static void cipher(String transformation, AlgorithmParameterSpec parameter) {
        if (!offers("Cipher", transformation)) {
            return;
        }
        check("cipher " + transformation, () -> {
            SecretKey key = new SecretKeySpec(new byte[32], "AES");
            Cipher inside = Cipher.getInstance(transformation, token);
            inside.init(Cipher.ENCRYPT_MODE, key, parameter);
            byte[] sealed = inside.doFinal(MESSAGE);
            Cipher outside = Cipher.getInstance(transformation, "SunJCE");
            outside.init(Cipher.DECRYPT_MODE, key, parameter);
            that(Arrays.equals(outside.doFinal(sealed), MESSAGE), "software opens it");
            inside.init(Cipher.DECRYPT_MODE, key, parameter);
            that(Arrays.equals(inside.doFinal(sealed), MESSAGE), "the token opens it");
        });
    }

    private static void random() throws Exception {
        if (offers("SecureRandom", "PKCS11")) {
            check("random bytes differ", () -> {
                byte[][] drawn = new byte[2][32];
                SecureRandom random = SecureRandom.getInstance("PKCS11", token);
                random.nextBytes(drawn[0]);
                random.nextBytes(drawn[1]);
                that(!Arrays.equals(drawn[0], drawn[1]), "two draws differ");
            });
        }
    }

    /// A secret key and a renamed entry in the store.
    private static void store(KeyStore store, char[] pin) {
        check("a secret key is stored, found and deleted", () -> {
            SecretKey key = new SecretKeySpec(new byte[32], "AES");
            store.setEntry("kek", new KeyStore.SecretKeyEntry(key), new KeyStore.PasswordProtection(pin));
            that(store.containsAlias("kek"), "it is found");
            that(Collections.list(store.aliases()).contains("kek"), "it is listed");
            store.deleteEntry("kek");
            that(!store.containsAlias("kek"), "it is gone");
        });
    }
}
