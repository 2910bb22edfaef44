-- | As much of HTTP as the Runtime API needs: one request on a connection of its own, an answer with its length.
module Http (Address, Answer (..), Handler, get, parseAddress, post) where

import Control.Exception (bracket)
import qualified Data.ByteString.Char8 as B
import Data.Char (toLower)
import Network.Socket
import Network.Socket.ByteString (recv, sendAll)
import Numeric (readHex)

data Address = Address SockAddr B.ByteString

-- | headers: names in small letters.
data Answer = Answer {status :: Int, headers :: [(String, B.ByteString)], body :: B.ByteString}

-- | Takes the deadline in milliseconds since the epoch and the event; returns JSON, or what is wrong.
type Handler = B.ByteString -> B.ByteString -> IO (Either String B.ByteString)

-- | Of `127.0.0.1:9001`: numbers only, so that no resolver is linked in.
parseAddress :: String -> IO Address
parseAddress text = case mapM B.readInt (B.splitWith (`elem` ".:") (B.pack text)) of
  Just [(a, _), (b, _), (c, _), (d, _), (port, _)] ->
    return (Address (SockAddrInet (fromIntegral port) (tupleToHostAddress (part a, part b, part c, part d))) (B.pack text))
  _ -> fail ("not an address: " ++ text)
  where
    part = fromIntegral

get :: Address -> String -> IO Answer
get api path = call api "GET" path B.empty

post :: Address -> String -> B.ByteString -> IO Answer
post api path = call api "POST" path

call :: Address -> String -> String -> B.ByteString -> IO Answer
call (Address address name) method path content =
  bracket (socket AF_INET Stream defaultProtocol) close $ \connection -> do
    connect connection address
    sendAll connection $
      B.concat
        [ B.pack (method ++ " /2018-06-01/runtime/" ++ path ++ " HTTP/1.1\r\nHost: "),
          name,
          B.pack ("\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: "),
          B.pack (show (B.length content) ++ "\r\n\r\n")
        ]
    sendAll connection content
    parse . B.concat <$> receive connection

receive :: Socket -> IO [B.ByteString]
receive connection = do
  piece <- recv connection 65536
  if B.null piece then return [] else (piece :) <$> receive connection

-- | The end of the connection is the end of the answer.
parse :: B.ByteString -> Answer
parse text = Answer code fields content
  where
    (top, rest) = B.breakSubstring (B.pack "\r\n\r\n") text
    (first, others) = case lines' top of
      [] -> (B.empty, [])
      (line : more) -> (line, more)
    code = maybe 0 fst (B.readInt (B.drop 9 first))
    fields = [(map toLower (B.unpack key), B.dropWhile (== ' ') (B.drop 1 value)) | line <- others, let (key, value) = B.break (== ':') line]
    content = case lookup "transfer-encoding" fields of
      Just _ -> B.concat (chunks (B.drop 4 rest))
      Nothing -> B.drop 4 rest
    lines' = map (B.filter (/= '\r')) . B.lines

-- | Each has its size in hexadecimal digits before it and an empty line after; one of size 0 is the end.
chunks :: B.ByteString -> [B.ByteString]
chunks text = case readHex (B.unpack digits) of
  [(size, _)] | size > 0 -> let (piece, more) = B.splitAt size (B.drop 2 rest) in piece : chunks (B.drop 2 more)
  _ -> []
  where
    (digits, rest) = B.breakSubstring (B.pack "\r\n") text
